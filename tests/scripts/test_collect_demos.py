"""The script, on the real simulator."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from act import dataset, storage
from carnet import envs

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "collect_demos.py"
SMALL = ("--episodes=1", "--height=24", "--width=32", "--renderer=raycast")


def run(*flags):
  return subprocess.run(
    [sys.executable, SCRIPT, *flags], capture_output=True, text=True
  )


def test_collects_what_the_environment_shows(tmp_path):
  root = tmp_path / "data"
  flags = (f"--directory={root}", *SMALL, "--workers=1")
  result = run(*flags)
  assert result.returncode == 0, result.stderr
  assert f"1 demonstrations in {root}" in result.stdout
  data = dataset.open(root, ("top",))
  row = data.metadata["episodes"][0]
  assert (row["seed"], row["length"], row["highest_reward"]) == (1000, 400, 4)
  environment = envs.make(
    "aloha/transfer_cube", height=24, width=32, renderer="raycast"
  )
  step = environment.reset(1000)
  for frame in range(3):
    images = data.images.read(np.array([frame]))
    assert step.observation is not None
    np.testing.assert_array_equal(
      images["top"][0], step.observation["images/top"]
    )
    np.testing.assert_array_equal(data.state[frame], step.observation["qpos"])
    step = environment.step(data.actions[frame])
  environment.close()
  before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
  assert run(*flags).returncode == 0
  assert {path: path.stat().st_mtime_ns for path in root.iterdir()} == before
  other = run(f"--directory={root}", *SMALL, "--shadows")
  assert other.returncode == 2
  assert "shadows is False there, True was asked" in other.stderr
  storage.verify(root)


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--task=aloha/transfer_cub", "did you mean 'aloha/transfer_cube'"),
    ("--cameras=topp", "did you mean 'top'"),
    ("--renderer=glx", "did you mean 'gl'"),
    ("--episodes=0", "--episodes=0: at least 1"),
    ("--episode=3", "Did you mean"),
    ("--height=tall", "--height=tall"),
  ],
)
def test_mistakes_are_one_line_and_write_nothing(tmp_path, flag, message):
  root = tmp_path / "data"
  result = run(f"--directory={root}", *SMALL, "--workers=1", flag)
  assert result.returncode == 2, result.stderr
  assert message in result.stderr
  assert result.stderr.count("\n") == 1
  assert result.stderr.startswith("error: ")
  assert not root.exists()


def test_the_directory_is_required():
  result = run()
  assert result.returncode == 2
  assert "--directory" in result.stderr
