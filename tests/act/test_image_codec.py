"""What is stored comes back: exactly, or within JPEG's error."""

import numpy as np
import pytest

from act import image_codec


def smooth(height, width):
  rows, columns = np.mgrid[:height, :width]
  channels = (rows, columns, (rows + columns) // 2)
  return np.stack(channels, -1).astype(np.uint8)


@pytest.mark.parametrize(
  ("height", "width", "expected"),
  [(96, 96, "raw"), (127, 129, "raw"), (128, 128, "jpeg"), (480, 640, "jpeg")],
)
def test_small_frames_are_raw(height, width, expected):
  assert image_codec.choose(height, width) == expected


def test_raw_is_exact():
  image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
  out = np.zeros_like(image)
  image_codec.decode(image_codec.encode(image, "raw"), "raw", out)
  np.testing.assert_array_equal(out, image)


def test_jpeg_is_close_and_small():
  image = smooth(120, 160)
  data = image_codec.encode(image, "jpeg")
  assert len(data) < image.nbytes / 8
  out = np.zeros_like(image)
  image_codec.decode(data, "jpeg", out)
  assert np.abs(out.astype(int) - image).mean() < 1.5


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_cut_jpeg_is_refused(keep):
  data = image_codec.encode(smooth(64, 64), "jpeg")[:keep]
  with pytest.raises(ValueError, match="corrupt JPEG"):
    image_codec.decode(data, "jpeg", np.zeros((64, 64, 3), np.uint8))


def test_another_size_is_refused():
  jpeg = image_codec.encode(smooth(64, 64), "jpeg")
  with pytest.raises(ValueError, match="expected"):
    image_codec.decode(jpeg, "jpeg", np.zeros((64, 32, 3), np.uint8))
  with pytest.raises(ValueError, match="12 bytes where 27 belong"):
    image_codec.decode(bytes(12), "raw", np.zeros((3, 3, 3), np.uint8))
