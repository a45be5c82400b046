"""Tiny datasets, recorded by the real writer from a simulator of numbers."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import fake_simulator

from act import demonstrations


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """Returns 6 episodes of 20 steps, cameras top and wrist, 32x32, raw."""
  settings = demonstrations.Settings(
    task="fake/numbers",
    episodes=6,
    cameras=("top", "wrist"),
    height=32,
    width=32,
    renderer="raycast",
  )
  return demonstrations.collect(
    settings,
    tmp_path_factory.mktemp("tiny") / "raw",
    workers=1,
    simulator=fake_simulator.Simulator(),
  )


@pytest.fixture(scope="session")
def tiny_jpeg_dataset(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """Returns 2 episodes of 20 steps, camera top, 128x160, JPEG."""
  settings = demonstrations.Settings(
    task="fake/numbers", episodes=2, height=128, width=160
  )
  return demonstrations.collect(
    settings,
    tmp_path_factory.mktemp("tiny") / "jpeg",
    workers=1,
    simulator=fake_simulator.Simulator(),
  )
