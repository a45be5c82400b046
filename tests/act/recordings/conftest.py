"""Small LeRobotDatasets, sound ones to read and copies to spoil."""

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(scope="session")
def sound_lerobot(tmp_path_factory):
  """Returns a directory with a dataset of each of `spoilt_lerobot.PLANS`."""
  import make_lerobot
  import spoilt_lerobot

  root = tmp_path_factory.mktemp("sound")
  for name, plan in spoilt_lerobot.PLANS.items():
    make_lerobot.make(root / name, plan)
  return root


@pytest.fixture
def lerobot_copy(sound_lerobot, tmp_path):
  """Returns a function that copies one of them to spoil it."""

  def take(name="v3.0"):
    return pathlib.Path(
      shutil.copytree(sound_lerobot / name, tmp_path / "data")
    )

  return take
