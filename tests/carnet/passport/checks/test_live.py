"""Pictures of now against the reference frames, through the whole gate."""

import checking
import numpy as np
import PIL.Image
import pytest
import sample

from carnet import errors
from carnet.passport import context, validate
from carnet.passport.checks import reference

CHECK = "cameras_see_as_trained"


def _turned(pixels):
  return np.ascontiguousarray(pixels[:, ::-1])


@pytest.fixture
def two(step):
  """Returns a step with a second camera, that sees the mirrored scene."""
  passport = sample.passport(step)
  first = passport.input_contract.images[0].model_dump(mode="json")
  for index, pixels in enumerate(sample.frames()):
    path = step / sample.FRAMES_PATH / f"wrist_{index:03d}.png"
    PIL.Image.fromarray(_turned(pixels)).save(path)
  vector = passport.reference_test_vector.model_dump(mode="json")
  hashes = vector["input_images_hash"] | {"wrist": ["0" * 64] * sample.FRAMES}
  second = first | {"key": "images/wrist", "short_key": "wrist"}
  sample.write(
    step,
    **{
      "input_contract/images": [first, second],
      "reference_test_vector/input_images_hash": hashes,
    },
  )
  return step


@pytest.fixture
def look(two, tmp_path):
  def _look(**pictures):
    for name, pixels in pictures.items():
      PIL.Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    found = checking.findings(two, reference.CHECKS, live_frames=tmp_path)
    return found[CHECK]

  return _look


def test_cameras_in_their_places_pass(look):
  seen = sample.frames()[3]
  found = look(top=seen, wrist=_turned(seen))
  assert found.status == "pass"
  assert "top: " in found.finding.evidence


def test_exchanged_cameras_are_soft_and_named(look):
  seen = sample.frames()[3]
  found = look(top=_turned(seen), wrist=seen)
  assert found.status == "soft"
  assert "'images/top' looks like 'images/wrist'" in found.finding.evidence


def test_a_missing_picture_names_the_file(look):
  found = look(top=sample.frames()[0])
  assert found.status == "not_checked"
  assert found.finding.evidence.endswith("has no wrist.png")


def test_a_covered_lens_is_no_camera_in_its_place(look):
  seen = sample.frames()[3]
  found = look(top=seen, wrist=np.full_like(seen, 3))
  assert found.status == "soft"
  assert "'images/wrist' shows nothing" in found.finding.evidence


def test_a_picture_that_is_none_is_a_mistake_of_the_caller(two, tmp_path):
  options = context.Options(live_frames=tmp_path / "now")
  options.live_frames.mkdir()
  with pytest.raises(errors.UserError, match=r"--live-frames: .* has no pict"):
    validate.validate(two, options)
  (options.live_frames / "top.png").write_bytes(b"no picture")
  with pytest.raises(errors.UserError, match=r"--live-frames: .*top\.png"):
    validate.validate(two, options)


def test_without_pictures_nothing_is_said(two):
  found = checking.findings(two, reference.CHECKS)
  assert found[CHECK].status == "not_checked"
