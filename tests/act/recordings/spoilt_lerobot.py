"""What is said of a LeRobotDataset that was spoilt, and ways to spoil one."""

import json
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_lerobot

from act.recordings import base, lerobot
from carnet import errors

FIRST = "data/chunk-000/file-000.parquet"  # of episodes 0 and 1
DATA = "data/chunk-000/file-001.parquet"  # of episode 2 alone
VIDEO = "videos/observation.images.wrist/chunk-000/file-001.mp4"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
PLANS = {
  "v3.0": make_lerobot.Plan(),
  "v2.1": make_lerobot.Plan(version="v2.1"),
  "images": make_lerobot.Plan(cameras=(("top", "image"),)),
}


def told(root, **options):
  """Returns the line that says what is wrong."""
  with pytest.raises(errors.UserError) as caught:
    lerobot.open(str(root), base.Options(**options))
  message = str(caught.value)
  assert "\n" not in message
  assert len(message) < 700
  return message


def assert_episode(root, number, *words):
  """One episode is unsound, for a reason with these words."""
  message = told(root)
  assert f"episode {number}" in message
  for word in words:
    assert word in message
  found = lerobot.open(str(root), base.Options(skip_bad=True))
  (skipped,) = found.skipped
  assert skipped.episode == number
  for word in words:
    assert word in skipped.reason
  left = [n for n in range(3) if n != number]
  assert found.episodes.tolist() == left
  images = found.open_images(tuple(found.cameras))
  starts = np.cumsum([0, 7, 5, 9])
  for pictures in images.read(found.first_frames).values():
    numbers = [make_lerobot.number_in(picture) for picture in pictures]
    assert numbers == [starts[n] for n in left]


def change_rows(root, change, name=EPISODES):
  rows = parquet.read_table(root / name).to_pylist()
  change(rows)
  parquet.write_table(pa.Table.from_pylist(rows), root / name)


def change_info(root, change):
  path = root / "meta/info.json"
  info = json.loads(path.read_text())
  change(info)
  path.write_text(json.dumps(info))
