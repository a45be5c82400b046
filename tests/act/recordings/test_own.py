"""What scripts/collect_demos.py wrote, as a Recording."""

import pickle

import fake_simulator
import numpy as np
import pytest

from act import storage
from act.recordings import base, opening
from carnet import errors

STEPS = fake_simulator.STEPS


def test_a_recording_of_ours(tiny_dataset):
  data = opening.open(str(tiny_dataset))
  metadata = storage.read_metadata(tiny_dataset)
  assert (data.origin, data.path) == (str(tiny_dataset), tiny_dataset)
  assert (data.identity, data.fps) == ("fake/numbers", 50.0)
  assert data.cameras == {
    "top": base.Camera(32, 32),
    "wrist": base.Camera(32, 32),
  }
  assert data.lengths.tolist() == [STEPS] * 6
  assert data.episodes.tolist() == list(range(6))
  assert data.tasks == ("fake/numbers",) * 6
  assert data.details == metadata
  stored = metadata["statistics"]
  assert data.statistics["wrist"] == stored["images/wrist"]
  assert data.statistics["action"] == stored["action"]
  assert list(data.vectors) == ["action", "qpos", "qvel"]
  frame = 3 * STEPS + 7  # 1003 was rejected
  expected = fake_simulator.qpos(1004, 7)
  np.testing.assert_array_equal(data.vectors["qpos"].values[frame], expected)
  images = pickle.loads(pickle.dumps(data.open_images(("wrist",))))
  np.testing.assert_array_equal(
    images.read(np.array([frame]))["wrist"][0],
    fake_simulator.image(1004, 7, "wrist", 32, 32),
  )


def test_the_first_episodes_and_some_cameras(tiny_dataset):
  data = opening.open(
    str(tiny_dataset), base.Options(cameras=("wrist",), episodes=2)
  )
  assert data.num_frames == 2 * STEPS
  assert len(data.vectors["action"].values) == 2 * STEPS
  assert list(data.cameras) == ["top", "wrist"]


def test_what_is_not_there(tiny_dataset):
  # what it may be called, not what must be there
  opening.open(str(tiny_dataset), base.Options(cameras=("topp",)))
  with pytest.raises(errors.UserError, match=r"camera .*'topp'.*'top'"):
    opening.open(str(tiny_dataset)).open_images(("topp",))
  with pytest.raises(errors.UserError, match=r"episodes=7, but '.*' holds 6"):
    opening.open(str(tiny_dataset), base.Options(episodes=7))
