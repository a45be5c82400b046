"""Pictures on the page: the recorded frames, and what the model sees."""

import base64
import io
import re

import numpy as np
import page_reading
import PIL.Image
import pytest
import sample

from carnet.passport import (
  context,
)
from carnet.passport.page import frames, markup, png


@pytest.fixture(scope="module")
def made(original):
  return page_reading.build(original)


def test_pictures_are_the_frames_and_what_the_pipeline_makes_of_them(original):
  (camera,) = frames.cameras(context.Context(original), 3)
  assert [pair.index for pair in camera.pairs] == [0, 4, 9]
  raw = sample.frames()
  for pair in camera.pairs:
    np.testing.assert_array_equal(pair.raw, raw[pair.index])
  mean, std = np.asarray(sample.MEAN), np.asarray(sample.STD)
  seen = (raw[[0, 4, 9]] / 255 - mean) / std
  low, high = seen.min(), seen.max()
  wanted = ((seen - low) / (high - low) * 255).round()
  for pair, picture in zip(camera.pairs, wanted, strict=True):
    np.testing.assert_allclose(pair.seen.astype(float), picture, atol=1)
  black, white = markup.number(float(low)), markup.number(float(high))
  assert f"black is {black}, white is {white}" in camera.caption
  assert "float32" in camera.caption


def test_pictures_in_the_page_are_png_files_of_those_pixels(original, made):
  images = page_reading.Reader(made).named("img")
  assert len(images) == 2 * 6
  (camera,) = frames.cameras(context.Context(original), 6)
  pixels = [x for pair in camera.pairs for x in (pair.raw, pair.seen)]
  for image, wanted in zip(images, pixels, strict=True):
    content = base64.b64decode(image["src"].split(",")[1])
    found = np.asarray(PIL.Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(found, wanted)
    assert re.fullmatch(r"Camera top, frame \d, as .*", image["alt"])


@pytest.mark.parametrize("shape", [(7, 5, 3), (1, 1, 1), (64, 3, 1)])
def test_png_files_hold_the_pixels(shape):
  rng = np.random.default_rng(0)
  wanted = rng.integers(0, 256, shape, dtype=np.uint8)
  found = np.asarray(PIL.Image.open(io.BytesIO(png.encode(wanted))))
  np.testing.assert_array_equal(found.reshape(shape), wanted)


def test_large_pictures_are_made_small_by_means():
  picture = np.zeros((20, 30, 1), np.uint8)
  picture[::2] = 100
  small = png.smaller(picture, 10)
  assert small.shape == (6, 10, 1)
  assert set(small.flat) <= {33, 66}
  assert png.smaller(picture, 30) is picture
  assert png.smaller(np.zeros((2, 900, 3), np.uint8), 100).shape == (1, 100, 3)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda x: b"GIF89a" + x[6:], "is no PNG file"),
    (lambda x: x[:16] + b"\xff" * 8 + x[24:], "pixels"),
    (lambda x: x[: len(x) // 2], "is a damaged PNG"),
  ],
)
def test_unsound_frames_are_told_on_the_page(step, change, message):
  place = step / sample.FRAMES_PATH / "top_000.png"
  place.write_bytes(change(place.read_bytes()))
  (camera,) = frames.cameras(context.Context(step), 3)
  assert message in camera.fault
  assert message in page_reading.Reader(page_reading.build(step)).text


def test_transparency_is_left_out(step):
  place = step / sample.FRAMES_PATH / "top_000.png"
  pixels = np.dstack([sample.frames()[0], np.zeros((12, 16), np.uint8)])
  PIL.Image.fromarray(pixels).save(place)
  (camera,) = frames.cameras(context.Context(step), 1)
  np.testing.assert_array_equal(camera.pairs[0].raw, pixels[..., :3])


def test_a_pipeline_that_cannot_run_leaves_the_frames_as_recorded(step):
  sample.write(step, **{"transform_pipeline/1/params/constants/mean": [0.5]})
  (camera,) = frames.cameras(context.Context(step), 2)
  assert camera.fault
  assert [pair.seen for pair in camera.pairs] == [None, None]


def test_a_picture_that_a_step_would_blow_up_is_refused(step):
  resize = {
    **{"index": 0, "stage": "pre", "op": "resize", "invertible": False},
    **{"input_key": sample.CAMERA, "output_key": sample.CAMERA},
    "code_ref": "x",
    "params": {
      **{"height": 16384, "width": 16384, "method": "nearest"},
      **{"antialias": False, "keep_aspect": False},
    },
  }
  sample.write(step, **{"transform_pipeline/0": resize})
  (camera,) = frames.cameras(context.Context(step), 2)
  assert camera.fault == "step 0 makes 268435456 pixels"
