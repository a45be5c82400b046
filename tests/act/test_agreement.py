"""Before training: the environment, the parent policy and the data agree."""

import dataclasses

import hand_made
import numpy as np
import pytest
import tiny_config

from act import agreement, dataset, features, train
from carnet import checkpoint, errors


@pytest.fixture
def data(monkeypatch):
  hand_made.install(monkeypatch)
  return dataset.open("lerobot:numbers", state="state", skip_bad=True)


def _config(**environment):
  config = tiny_config.get_config()
  config.environment.update(environment)
  config.dataset.cameras = ("top", "left")
  return config


def test_without_a_simulator_there_is_nothing_to_agree_with(data):
  agreement.check_environment(_config(name=""), data)


def test_pictures_of_another_size_are_no_environment(data):
  config = _config(
    name="fake/numbers", cameras=("top", "left"), height=24, width=32
  )
  with pytest.raises(errors.UserError, match=r"'left' .* 32x24 .* 24x32"):
    agreement.check_environment(config, data)
  config.dataset.cameras = ("top",)
  only = dataclasses.replace(
    data,
    features=dataclasses.replace(data.features, images=(("top", (24, 32, 3)),)),
  )
  agreement.check_environment(config, only)


@pytest.fixture
def parent(tmp_path):
  """Returns a checkpoint that tells of a policy with another camera."""
  spec = features.Features(
    images=(("top", (24, 32, 3)), ("wrist", (24, 32, 3))),
    action_size=3,
    state_size=4,
  )
  with checkpoint.Checkpoint(tmp_path / "checkpoints") as saved:
    saved.register("agent", {"x": np.zeros(2)})
    saved.attach("features.json", features.to_json(spec))
    saved.save(1)
  return tmp_path


def test_a_parent_that_takes_something_else_is_refused(data, parent):
  config = _config()
  config.from_checkpoint = str(parent)
  message = (
    r"cameras \(top, wrist\), state\[4\], action\[3\], but .*"
    r"cameras \(top, left\), state\[3\], action\[3\]"
  )
  with pytest.raises(errors.UserError, match=message):
    agreement.check_parent(config, data)
  # its backbone alone may be had by any policy
  config.from_checkpoint_regex = "agent/params/backbone/.*"
  agreement.check_parent(config, data)


def test_a_parent_that_names_no_features_is_left_to_its_shapes(data, tmp_path):
  config = _config()
  config.from_checkpoint = str(tmp_path / "weights.safetensors")
  agreement.check_parent(config, data)


def test_the_run_keeps_the_commit_and_the_cameras(data):
  pinned = f"lerobot:user/name@{'a' * 40}"
  config = _config()
  config.dataset.update(path="lerobot:user/name", cameras=("*",))
  settled = train.settled(config, dataclasses.replace(data, origin=pinned))
  assert settled.dataset.path == pinned
  assert settled.dataset.cameras == ("top", "left")
  assert config.dataset.cameras == ("*",)
