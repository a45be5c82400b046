"""Curves of runs over those of a reference: arithmetic, errors, a picture."""

import json

import pytest
from PIL import Image

from carnet import curves, errors

ROWS = """suite,task,seed,frames,episode_return
dmc_proprio,dmc_walker_walk,0,10000,10.0
dmc_proprio,dmc_walker_walk,0,20000,30.0
dmc_proprio,dmc_walker_walk,1,10000,50.0
dmc_proprio,dmc_walker_walk,1,20000,60.0
dmc_vision,dmc_walker_walk,0,10000,999.0
"""


@pytest.fixture
def run(tmp_path):
  lines = [
    {"step": 100, "frames": 200, "episode/return": 1.0},
    {"step": 5000, "frames": 10_000, "episode/return": 3.0},
    {"step": 5001, "frames": 10_002, "episode/return": 7.0},
    {"step": 6000, "frames": 12_000, "train/loss/dyn": 1.0},
    {"step": 6001, "frames": 12_002, "episode/return": None},
  ]
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (tmp_path / "metrics.jsonl").write_text(text)
  return tmp_path


@pytest.fixture
def reference(tmp_path):
  path = tmp_path / "curves.csv"
  path.write_text(ROWS)
  return curves.read_reference(path, "dmc_proprio", "dmc_walker_walk")


def test_episodes_are_averaged_within_bins(run):
  assert curves.read_run(run, 10_000) == {10_000: 2.0, 20_000: 7.0}


def test_the_band_is_of_straight_lines_between_points(reference):
  assert curves.band(reference, 10_000) == (10.0, 30.0, 50.0)
  assert curves.band(reference, 15_000) == (20.0, 37.5, 55.0)


def test_rows_tell_run_and_band(run, reference):
  curve = curves.read_run(run, 10_000)
  rows = curves.table([curve], reference, 10_000)
  assert rows == ["    10000 frames:      2.0   reference 30.0 (10.0 to 50.0)"]


def test_a_picture_is_drawn(run, reference, tmp_path):
  path = tmp_path / "plots/walker.png"
  curves.draw([curves.read_run(run, 10_000)], reference, 20_000, "walker", path)
  with Image.open(path) as picture:
    assert picture.size == (1050, 630)


def test_what_is_not_there_is_named(run, tmp_path):
  path = tmp_path / "curves.csv"
  path.write_text(ROWS)
  with pytest.raises(errors.UserError, match="did you mean 'dmc_walker_walk'"):
    curves.read_reference(path, "dmc_proprio", "walker_walk")
  with pytest.raises(errors.UserError, match="cannot read"):
    curves.read_run(tmp_path / "absent", 10)
