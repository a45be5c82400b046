"""The names of the policy: by rule, by the user, or refused with both lists."""

import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import hand_made

from act.recordings import base, naming
from carnet import errors


def _choose(cameras=naming.ALL, state="state", environment="", rename=()):
  asked = naming.Asked(cameras, state, environment, rename)
  return naming.choose(hand_made.recording(), asked)


@pytest.mark.parametrize(
  ("theirs", "ours"),
  [
    ("observation.images.top", "top"),
    ("observation.images.wrist.left", "wrist.left"),
    ("observation.image", "image"),
    ("observation/image_wrist", "image_wrist"),
    ("observation.state", "state"),
    ("observation.images.", "images."),
    ("action", "action"),
    ("qpos", "qpos"),
  ],
)
def test_the_rule(theirs, ours):
  assert naming.short(theirs) == ours


def test_all_cameras_in_the_order_of_the_data():
  found = _choose()
  assert list(found.cameras.items()) == [
    ("top", "observation.images.top"),
    ("left", "observation.images.left"),
  ]
  assert found.all() == {
    "images/top": "observation.images.top",
    "images/left": "observation.images.left",
    "state": "observation.state",
    "action": "action",
  }


def test_the_order_of_the_policy_and_other_names():
  found = _choose(
    ("wrist", "top"),
    "qpos",
    "scene",
    (
      "observation.images.left => wrist",
      "observation.state=>qpos",
      "observation.environment_state => scene",
    ),
  )
  assert list(found.cameras) == ["wrist", "top"]
  assert found.cameras["wrist"] == "observation.images.left"
  assert found.state == {"qpos": "observation.state"}
  assert found.environment_state == {"scene": "observation.environment_state"}


@pytest.mark.parametrize(
  ("asked", "message"),
  [
    (
      {"cameras": ("wrist", "top")},
      r"camera 'wrist' .* wants wrist, top; lerobot:numbers has top "
      r"\(observation\.images\.top\), left \(observation\.images\.left\)",
    ),
    ({"cameras": ("topp",)}, r"did you mean 'top'\?"),
    ({"state": "qpos"}, r"state 'qpos' .*has state \(observation\.state\)"),
    ({"environment": "scene"}, r"environment_state 'scene'"),
    (
      {"rename": ("observation.images.front => top",)},
      r"unknown feature in config\.dataset\.rename .*'observation\.images",
    ),
    ({"rename": ("observation.images.left => top",)}, "would both be 'top'"),
    ({"rename": ("observation.images.left",)}, "write each feature once"),
    ({"rename": ("action => state2", "action => x")}, "each feature once"),
    ({"rename": ("action => joints",)}, "action 'action' .* is not in"),
  ],
)
def test_refusals(asked, message):
  with pytest.raises(errors.UserError, match=message):
    _choose(**asked)


def test_only_the_chosen_cameras_must_be_there():
  asked = naming.Asked(("top", "wrist"), "", "", ("cam_low => wrist",))
  assert naming.candidates(asked) == (
    "top",
    "observation.images.top",
    "observation.top",
    "observation/top",
    "cam_low",
  )
  assert naming.candidates(naming.Asked(naming.ALL, "")) is None


def test_pictures_come_under_the_names_of_the_policy():
  images = hand_made.Images(tuple(hand_made.CAMERAS))
  found = naming.renamed(images, {"a": "observation.images.left"})
  read = found.read(np.array([3, 9]))
  assert list(read) == ["a"]
  assert read["a"].shape == (2, 32, 24, 3)
  assert read["a"][:, 0, 0, 0].tolist() == [3, 9]


def test_without_other_names_nothing_is_in_between():
  images = hand_made.Images(tuple(hand_made.CAMERAS))
  assert naming.renamed(images, {"x": "x"}) is images


def test_a_recording_counts_its_frames():
  found = hand_made.recording()
  assert found.first_frames.tolist() == [0, 7, 12]
  assert found.num_frames == 18
  assert isinstance(found, base.Recording)
