"""Unsound episodes: one line that names them and the file, or skipped."""

import pathlib
import shutil
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_lerobot
import spoilt_lerobot

from act.recordings import base, lerobot
from carnet import errors

DATA, VIDEO = spoilt_lerobot.DATA, spoilt_lerobot.VIDEO
EPISODES = spoilt_lerobot.EPISODES
TOP = "videos/observation.images.top"


def truncate(path, share=0.6):
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * share)])


def test_truncated_parquet(lerobot_copy):
  root = lerobot_copy()
  truncate(root / DATA)
  spoilt_lerobot.assert_episode(root, 2, DATA, "no readable Parquet file")


def test_damaged_parquet(lerobot_copy):
  root = lerobot_copy()
  content = bytearray((root / DATA).read_bytes())
  content[4:400] = bytes(396)
  (root / DATA).write_bytes(content)
  spoilt_lerobot.assert_episode(root, 2, DATA)


def test_truncated_video(lerobot_copy):
  root = lerobot_copy()
  truncate(root / VIDEO)
  spoilt_lerobot.assert_episode(root, 2, VIDEO, "wrist", "no readable MP4")


def test_truncated_video_with_its_tables_first(lerobot_copy):
  root = lerobot_copy()
  plan = make_lerobot.Plan(faststart=True)
  make_lerobot.write_video(root / VIDEO, list(range(12, 21)), 1, plan)
  lerobot.open(str(root), base.Options())
  truncate(root / VIDEO, 0.9)
  spoilt_lerobot.assert_episode(root, 2, VIDEO, "truncated")


def test_a_video_shorter_than_its_metadata(lerobot_copy):
  root = lerobot_copy()
  make_lerobot.write_video(
    root / VIDEO, list(range(12, 19)), 1, make_lerobot.Plan()
  )
  spoilt_lerobot.assert_episode(
    root, 2, VIDEO, "7 frames, the episode ends after 9"
  )


def test_a_video_of_another_size_or_rate(lerobot_copy):
  root = lerobot_copy()
  plan = make_lerobot.Plan(height=96)
  make_lerobot.write_video(root / VIDEO, list(range(12, 21)), 1, plan)
  spoilt_lerobot.assert_episode(root, 2, VIDEO, "96x96, info.json says 64x96")
  plan = make_lerobot.Plan(video_fps=30)
  make_lerobot.write_video(root / VIDEO, list(range(12, 21)), 1, plan)
  spoilt_lerobot.assert_episode(
    root, 2, VIDEO, "30 frames a second, info.json says 10"
  )


@pytest.mark.parametrize("name", [DATA, VIDEO])
def test_missing_files(lerobot_copy, name):
  root = lerobot_copy()
  (root / name).unlink()
  spoilt_lerobot.assert_episode(root, 2, name, "no such file")


def test_a_missing_file_of_v21(lerobot_copy):
  root = lerobot_copy("v2.1")
  (root / "data/chunk-000/episode_000001.parquet").unlink()
  spoilt_lerobot.assert_episode(root, 1, "episode_000001.parquet: no such file")


def test_a_folder_where_a_file_belongs(lerobot_copy):
  root = lerobot_copy()
  (root / VIDEO).unlink()
  (root / VIDEO).mkdir()
  spoilt_lerobot.assert_episode(root, 2, VIDEO, "not a plain file")


@pytest.mark.parametrize("name", [DATA, VIDEO])
def test_links_out_of_the_directory(lerobot_copy, tmp_path, name):
  root = lerobot_copy()
  outside = tmp_path / "outside"
  (root / name).rename(outside)
  (root / name).symlink_to(outside)
  spoilt_lerobot.assert_episode(root, 2, name, "leads out of the directory")
  (root / name).unlink()
  (root / name).symlink_to(root / name)
  spoilt_lerobot.assert_episode(root, 2, name, "leads nowhere")


def test_links_within_the_directory_are_followed(lerobot_copy):
  root = lerobot_copy()
  (root / VIDEO).rename(root / "elsewhere.mp4")
  (root / VIDEO).symlink_to(root / "elsewhere.mp4")
  assert lerobot.open(str(root), base.Options()).num_frames == 21


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("vector", ["action", "observation.state"])
def test_numbers_that_are_none(lerobot_copy, value, vector):
  root = lerobot_copy("v2.1")
  path = "data/chunk-000/episode_000001.parquet"
  rows = parquet.read_table(root / path)
  values = np.array(rows[vector].to_pylist(), np.float32)
  values[3, 2] = value
  place = rows.column_names.index(vector)
  parquet.write_table(
    rows.set_column(place, vector, [values.tolist()]), root / path
  )
  spoilt_lerobot.assert_episode(
    root, 1, path, f"'{vector}' of frame 3 is not finite"
  )


@pytest.mark.parametrize("whole", [True, False])
def test_a_vector_that_changes_its_width(lerobot_copy, whole):
  root = lerobot_copy("v2.1")
  path = "data/chunk-000/episode_000002.parquet"

  def widen(rows):
    for row in rows if whole else rows[4:5]:
      row["action"].append(0.0)

  spoilt_lerobot.change_rows(root, widen, path)
  found = "8 numbers" if whole else "7, 8 numbers"
  words = f"'action' has {found} a frame, info.json says 7"
  spoilt_lerobot.assert_episode(root, 2, path, words)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_vectors_that_are_missing(lerobot_copy, version):
  root = lerobot_copy(version)
  name = {"v2.1": "data/chunk-000/episode_000002.parquet", "v3.0": DATA}[
    version
  ]
  table = parquet.read_table(root / name)
  mask = np.arange(9) == 4
  column = table["action"].combine_chunks()
  spoiled = pa.array(column.to_pylist(), column.type, mask=mask)
  place = table.column_names.index("action")
  parquet.write_table(table.set_column(place, "action", [spoiled]), root / name)
  spoilt_lerobot.assert_episode(
    root, 2, name, "'action' has 0, 7 numbers a frame"
  )
  parquet.write_table(table.drop_columns("action"), root / name)
  spoilt_lerobot.assert_episode(root, 2, name, "no column 'action'; it has")


def test_an_episode_of_one_frame(tmp_path):
  for version in ("v2.1", "v3.0"):
    plan = make_lerobot.Plan(version=version, lengths=(7, 1, 9))
    root = make_lerobot.make(tmp_path / version, plan).root
    assert "episode 1" in (message := spoilt_lerobot.told(root))
    assert "one frame, which no action follows" in message
    found = lerobot.open(str(root), base.Options(skip_bad=True))
    assert found.lengths.tolist() == [7, 9]
    images = found.open_images(tuple(found.cameras)).read(np.array([7]))
    for (picture,) in images.values():
      assert make_lerobot.number_in(picture) == 8


def test_frames_that_do_not_count_up(lerobot_copy):
  root = lerobot_copy()

  def swap(rows):
    rows[4]["frame_index"] = 7

  spoilt_lerobot.change_rows(root, swap, DATA)
  spoilt_lerobot.assert_episode(root, 2, DATA, "frame_index is 7 at frame 4")


def test_another_number_of_frames_than_the_metadata_say(lerobot_copy):
  root = lerobot_copy()
  spoilt_lerobot.change_rows(root, lambda rows: rows.pop(), DATA)
  spoilt_lerobot.assert_episode(root, 2, DATA, "8 frames, the metadata say 9")


def test_a_task_that_is_not_there(lerobot_copy):
  root = lerobot_copy()

  def other(rows):
    rows[3]["task_index"] = 7

  spoilt_lerobot.change_rows(root, other, DATA)
  spoilt_lerobot.assert_episode(root, 2, DATA, "task 7, there are 2")


@pytest.mark.parametrize(
  ("values", "words"),
  [
    ({"length": -3}, "a length of -3"),
    ({"length": 10**8}, "a length of 100000000"),
    ({"length": None}, "a length of None"),
    ({"dataset_from_index": -2}, "frames -2 to 21"),
    ({"dataset_to_index": 20}, "frames 12 to 20, a length of 9"),
    ({f"{TOP}/from_timestamp": -1.0}, "from -1.0 to"),
    ({f"{TOP}/from_timestamp": float("nan")}, "from_timestamp is nan"),
    ({f"{TOP}/to_timestamp": 1e300}, "to 1e+300 s"),
    ({f"{TOP}/to_timestamp": 0.5}, "has 5 frames from 0 to 0.5 s"),
    ({f"{TOP}/file_index": -1}, "file_index is -1"),
    ({"data/chunk_index": None}, "chunk_index is None"),
  ],
)
def test_ranges_that_cannot_be(lerobot_copy, values, words):
  root = lerobot_copy()
  spoilt_lerobot.change_rows(root, lambda rows: rows[2].update(values))
  spoilt_lerobot.assert_episode(root, 2, EPISODES, words)


def test_ranges_that_overlap(lerobot_copy):
  root = lerobot_copy()
  begins = {f"{TOP}/from_timestamp": 0.4, f"{TOP}/to_timestamp": 0.9}
  spoilt_lerobot.change_rows(root, lambda rows: rows[1].update(begins))
  words = "starts at frame 4 of", "which is one of episode 0"
  spoilt_lerobot.assert_episode(root, 1, EPISODES, *words)


def test_episodes_that_are_listed_twice_or_not_at_all(lerobot_copy):
  root = lerobot_copy()
  spoilt_lerobot.change_rows(root, lambda rows: rows[2].update(episode_index=0))
  assert "episode 0 is listed twice" in spoilt_lerobot.told(root, skip_bad=True)
  spoilt_lerobot.change_rows(
    root, lambda rows: rows[2].update(episode_index=-1)
  )
  assert "episode_index -1" in spoilt_lerobot.told(root, skip_bad=True)
  spoilt_lerobot.change_rows(root, lambda rows: rows.pop())
  message = spoilt_lerobot.told(root, skip_bad=True)
  assert "total_episodes is 3, meta/episodes lists 2" in message
  shutil.rmtree(root / "meta/episodes")
  assert "no Parquet file: the copy is not complete" in spoilt_lerobot.told(
    root
  )


def test_lines_of_v21_that_are_wrong(lerobot_copy):
  root = lerobot_copy("v2.1")
  path = root / "meta/episodes.jsonl"
  lines = path.read_text()
  path.write_text(lines + "[1]\n")
  assert "line 4 is no object" in spoilt_lerobot.told(root)
  path.write_text(lines + "{")
  assert "episodes.jsonl: line 4 is not JSON" in spoilt_lerobot.told(root)
  path.write_text(lines.replace('"length": 5', '"length": "5"'))
  spoilt_lerobot.assert_episode(root, 1, "a length of '5'")


def test_if_none_is_sound(lerobot_copy):
  root = lerobot_copy()
  shutil.rmtree(root / "videos")
  message = spoilt_lerobot.told(root, skip_bad=True)
  assert "none of 3 episodes is sound: episode 0" in message


def test_more_rows_than_the_metadata_say(lerobot_copy):
  root = lerobot_copy()
  column = pa.array(np.zeros(10**6, np.int64))
  parquet.write_table(pa.table({"episode_index": column}), root / DATA)
  spoilt_lerobot.assert_episode(
    root, 2, DATA, "1000000 rows, the metadata say at most 21"
  )


def test_a_damaged_frame_is_named_when_it_is_met(lerobot_copy):
  root = lerobot_copy()
  found = lerobot.open(str(root), base.Options())
  path = root / VIDEO
  content = bytearray(path.read_bytes())
  begin = content.index(b"mdat") + 4
  middle = (begin + content.index(b"moov")) // 2
  content[middle : middle + 500] = bytes(500)
  path.write_bytes(content)
  found = lerobot.open(str(root), base.Options())
  images = found.open_images(tuple(found.cameras))
  images.read(np.array([0, 12]))
  with pytest.raises(errors.UserError) as caught:
    images.read(np.arange(12, 21))
  message = str(caught.value)
  assert message.startswith(f"{path}: camera 'observation.images.wrist', ")
  assert "episode 2, frame " in message
  assert "\n" not in message
