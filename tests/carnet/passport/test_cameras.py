"""Live pictures against the reference frames of each camera."""

import numpy as np
import pytest
import sample

from carnet import errors
from carnet.passport import cameras


def scene(phase, height=24, width=32, light=1.0, shift=0):
  """Returns a smooth picture; another phase is another view."""
  rows, columns = np.meshgrid(
    np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij"
  )
  wave = np.sin(5 * np.cos(phase) * rows + 5 * np.sin(phase) * columns + shift)
  grey = light * (100 + 60 * wave)
  return np.repeat(grey[..., None], 3, axis=-1).clip(0, 255).astype(np.uint8)


RECORDED = {
  "top": np.stack([scene(0.3, shift=0.02 * i) for i in range(10)]),
  "wrist": np.stack([scene(1.8, shift=0.02 * i) for i in range(10)]),
}


def test_cameras_in_their_places():
  live = {"top": scene(0.3, light=0.7), "wrist": scene(1.8, light=1.3)}
  found = cameras.of_frames(live, RECORDED)
  assert found.nearest == ("top", "wrist")
  assert found.swapped == ()
  assert np.all(np.diag(found.matrix) < 0.2)
  assert found.matrix[0, 1] > 0.5


def test_swapped_cameras_are_told():
  live = {"top": scene(1.8), "wrist": scene(0.3)}
  found = cameras.of_frames(live, RECORDED)
  assert found.swapped == (("top", "wrist"), ("wrist", "top"))
  assert "top: top" in str(found)
  assert "<- looks like wrist" in str(found)


def test_another_size_of_pictures_does_not_matter():
  live = {
    "top": scene(0.3, height=96, width=128),
    "wrist": scene(1.8, height=7, width=9),
  }
  assert cameras.of_frames(live, RECORDED).swapped == ()


def test_a_scene_that_is_neither_is_no_swap():
  live = {"top": scene(3.0), "wrist": scene(1.8)}
  found = cameras.of_frames(live, RECORDED)
  assert ("wrist", "top") not in found.swapped


def test_the_distance_by_hand():
  half = np.zeros((16, 16, 3), np.uint8)
  half[:, 8:] = 200
  other = half[:, ::-1].copy()
  recorded = {"a": half[None], "b": other[None]}
  found = cameras.of_frames({"a": half, "b": half}, recorded)
  # mean 0 and spread 1 are -1 and 1: opposite everywhere, 2 apart
  np.testing.assert_allclose(found.matrix, [[0, 2], [0, 2]], atol=1e-12)
  assert found.swapped == (("b", "a"),)


def test_a_robot_asks_with_its_checkpoint(step):
  live = sample.frames()[4]
  found = cameras.compare(step, {"top": live})
  assert found.cameras == (sample.CAMERA,)
  assert found.matrix[0, 0] == 0
  for name in ("wrist", sample.CAMERA + "2"):
    with pytest.raises(errors.UserError, match="unknown camera"):
      cameras.compare(step, {name: live})
  with pytest.raises(errors.UserError, match="live pictures are of none"):
    cameras.compare(step, {})


def test_a_checkpoint_without_frames_is_one_line(step):
  sample.write(step, reference_test_vector=None)
  with pytest.raises(errors.UserError, match="no reference frames"):
    cameras.compare(step, {"top": sample.frames()[0]})


def test_flat_and_empty_pictures():
  flat = np.zeros((8, 8, 3), np.uint8)
  found = cameras.of_frames({"a": flat}, {"a": flat[None]})
  assert found.matrix[0, 0] == 0
  with pytest.raises(errors.UserError, match="empty"):
    cameras.of_frames({"a": flat[:0]}, {"a": flat[None]})
