"""The benchmark of reading makes what it says, and tells of each kind."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from act.recordings import opening
from benchmarks import synthetic_lerobot

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["video", "image"])
def test_the_scenes_are_the_same_in_both_kinds(tmp_path, kind):
  synthetic_lerobot.write(tmp_path / kind, kind, 2, 5, 64, 96)
  found = opening.open(f"lerobot:{tmp_path / kind}")
  assert found.lengths.tolist() == [5, 5]
  images = found.open_images(synthetic_lerobot.CAMERAS).read(np.arange(10))
  for seed, camera in enumerate(synthetic_lerobot.CAMERAS):
    expected = np.stack(list(synthetic_lerobot.scene(10, 64, 96, seed)))
    error = np.abs(images[camera].astype(int) - expected).mean()
    assert error == 0 if kind == "image" else 0 < error < 20


def test_a_line_for_each_figure():
  command = [sys.executable, "benchmarks/dataset_read.py", "--items=5"]
  sizes = ["--episodes=2", "--length=4", "--height=128", "--width=160"]
  done = subprocess.run(
    [*command, *sizes], capture_output=True, text=True, cwd=ROOT, check=True
  )
  start, *items = [json.loads(line) for line in done.stdout.splitlines()]
  assert start["figure"] == "import act.recordings.lerobot"
  assert start["wall_ms_min"] > 0
  video, image, cache = items
  assert video["format"] == image["format"] == "LeRobotDataset v3.0"
  assert cache["format"].startswith("carnet array_record")
  for line in items:
    assert (line["cameras"], line["frames"]) == (2, "128x160")
    assert 0 < line["wall_ms_min"] <= line["wall_ms_median"]
    assert line["peak_mib"] > 10
