"""Training on a LeRobotDataset: it resumes exactly, and its papers tell."""

import json
import pathlib
import sys

import jax
import numpy as np
import pytest
import tiny_config

sys.path.insert(0, str(pathlib.Path(__file__).parent / "recordings"))
import make_lerobot

from act import train
from carnet import checkpoint, errors, run_context

PLAN = make_lerobot.Plan(
  version="v2.1", lengths=(6, 5, 7, 8), height=32, width=48
)
BAD = 1  # the episode that is cut short


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
  """Returns a dataset of which one video is truncated."""
  root = tmp_path_factory.mktemp("lerobot") / "so101"
  made = make_lerobot.make(root, PLAN)
  video = next(root.glob(f"videos/*/*.wrist/episode_{BAD:06d}.mp4"))
  video.write_bytes(video.read_bytes()[:-200])
  return made


def _config(made, **overrides):
  config = tiny_config.get_config()
  config.total_steps = 4
  config.environment.update(name="", cameras=())
  config.dataset.update(
    path=f"lerobot:{made.root}",
    cameras=("hand", "top"),
    state="state",
    rename=("observation.images.wrist => hand",),
    skip_bad_episodes=True,
  )
  config.update(overrides)
  return config


@pytest.fixture(scope="module")
def whole(spoilt, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("train") / "whole"
  train.train(_config(spoilt), workdir)
  return workdir


def test_a_bad_episode_is_named_unless_it_may_be_skipped(spoilt, tmp_path):
  config = _config(spoilt)
  config.dataset.skip_bad_episodes = False
  with pytest.raises(
    errors.UserError, match=rf"episode {BAD}: .*{BAD:06d}\.mp4"
  ):
    train.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_a_run_that_stopped_ends_with_the_same_numbers(spoilt, whole, tmp_path):
  train.train(_config(spoilt, total_steps=2), tmp_path)
  train.train(_config(spoilt), tmp_path)
  for one, other in zip(
    *(
      jax.tree.leaves(checkpoint.read(x, components=("agent",)))
      for x in (whole, tmp_path)
    ),
    strict=True,
  ):
    np.testing.assert_array_equal(one, other)


def test_the_papers_tell_of_names_and_of_what_was_skipped(spoilt, whole):
  step = whole / "checkpoints/000000004"
  (data,) = run_context.read(step).datasets
  assert data.id == "so101"
  assert data.revision.startswith("sha256:")
  assert data.split["features"] == [
    "images/hand=observation.images.wrist",
    "images/top=observation.images.top",
    "state=observation.state",
    "action=action",
  ]
  (skipped,) = data.split["skipped_episodes"]
  assert skipped.startswith(f"{BAD}: ")
  episodes = data.split["training_episodes"] + data.split["validation_episodes"]
  assert sorted(episodes) == [0, 2, 3]  # as the data number them
  kept = json.loads((step / "dataset.json").read_text())
  assert kept["skipped"][0]["episode"] == BAD
  assert kept["control_hz"] == PLAN.fps
  spec = json.loads((step / "features.json").read_text())
  assert [name for name, _ in spec["images"]] == ["hand", "top"]
