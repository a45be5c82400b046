"""Unsound LeRobotDatasets: one line that names file and episode, or skipped."""

import io
import json
import pathlib
import shutil
import struct
import sys
import zlib

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_lerobot

from act.recordings import base, lerobot
from carnet import errors

DATA = "data/chunk-000/file-001.parquet"  # of episode 2 alone
FIRST = "data/chunk-000/file-000.parquet"  # of episodes 0 and 1
VIDEO = "videos/observation.images.wrist/chunk-000/file-001.mp4"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
TOP = "videos/observation.images.top"
PLANS = {
  "v3.0": make_lerobot.Plan(),
  "v2.1": make_lerobot.Plan(version="v2.1"),
  "images": make_lerobot.Plan(cameras=(("top", "image"),)),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
  root = tmp_path_factory.mktemp("sound")
  for name, plan in PLANS.items():
    make_lerobot.make(root / name, plan)
  return root


@pytest.fixture
def copy(sound, tmp_path):
  """Returns a function that copies a sound dataset to spoil it."""

  def take(name="v3.0"):
    return pathlib.Path(shutil.copytree(sound / name, tmp_path / "data"))

  return take


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


def truncate(path, share=0.6):
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * share)])


def test_truncated_parquet(copy):
  root = copy()
  truncate(root / DATA)
  assert_episode(root, 2, DATA, "no readable Parquet file")


def test_damaged_parquet(copy):
  root = copy()
  content = bytearray((root / DATA).read_bytes())
  content[4:400] = bytes(396)
  (root / DATA).write_bytes(content)
  assert_episode(root, 2, DATA)


def test_truncated_video(copy):
  root = copy()
  truncate(root / VIDEO)
  assert_episode(root, 2, VIDEO, "wrist", "no readable MP4")


def test_truncated_video_with_its_tables_first(copy):
  root = copy()
  plan = make_lerobot.Plan(faststart=True)
  make_lerobot.write_video(root / VIDEO, list(range(12, 21)), 1, plan)
  lerobot.open(str(root), base.Options())
  truncate(root / VIDEO, 0.9)
  assert_episode(root, 2, VIDEO, "truncated")


def test_a_video_shorter_than_its_metadata(copy):
  root = copy()
  make_lerobot.write_video(root / VIDEO, list(range(12, 19)), 1, PLANS["v3.0"])
  assert_episode(root, 2, VIDEO, "7 frames, the episode ends after 9")


def test_a_video_of_another_size_or_rate(copy):
  root = copy()
  plan = make_lerobot.Plan(height=96)
  make_lerobot.write_video(root / VIDEO, list(range(12, 21)), 1, plan)
  assert_episode(root, 2, VIDEO, "96x96, info.json says 64x96")
  plan = make_lerobot.Plan(video_fps=30)
  make_lerobot.write_video(root / VIDEO, list(range(12, 21)), 1, plan)
  assert_episode(root, 2, VIDEO, "30 frames a second, info.json says 10")


@pytest.mark.parametrize("name", [DATA, VIDEO])
def test_missing_files(copy, name):
  root = copy()
  (root / name).unlink()
  assert_episode(root, 2, name, "no such file")


def test_a_missing_file_of_v21(copy):
  root = copy("v2.1")
  (root / "data/chunk-000/episode_000001.parquet").unlink()
  assert_episode(root, 1, "episode_000001.parquet: no such file")


def test_a_folder_where_a_file_belongs(copy):
  root = copy()
  (root / VIDEO).unlink()
  (root / VIDEO).mkdir()
  assert_episode(root, 2, VIDEO, "not a plain file")


@pytest.mark.parametrize("name", [DATA, VIDEO])
def test_links_out_of_the_directory(copy, tmp_path, name):
  root = copy()
  outside = tmp_path / "outside"
  (root / name).rename(outside)
  (root / name).symlink_to(outside)
  assert_episode(root, 2, name, "leads out of the directory")
  (root / name).unlink()
  (root / name).symlink_to(root / name)
  assert_episode(root, 2, name, "leads nowhere")


def test_links_within_the_directory_are_followed(copy):
  root = copy()
  (root / VIDEO).rename(root / "elsewhere.mp4")
  (root / VIDEO).symlink_to(root / "elsewhere.mp4")
  assert lerobot.open(str(root), base.Options()).num_frames == 21


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("vector", ["action", "observation.state"])
def test_numbers_that_are_none(copy, value, vector):
  root = copy("v2.1")
  path = "data/chunk-000/episode_000001.parquet"
  rows = parquet.read_table(root / path)
  values = np.array(rows[vector].to_pylist(), np.float32)
  values[3, 2] = value
  place = rows.column_names.index(vector)
  parquet.write_table(
    rows.set_column(place, vector, [values.tolist()]), root / path
  )
  assert_episode(root, 1, path, f"'{vector}' of frame 3 is not finite")


@pytest.mark.parametrize("whole", [True, False])
def test_a_vector_that_changes_its_width(copy, whole):
  root = copy("v2.1")
  path = "data/chunk-000/episode_000002.parquet"

  def widen(rows):
    for row in rows if whole else rows[4:5]:
      row["action"].append(0.0)

  change_rows(root, widen, path)
  found = "8 numbers" if whole else "7, 8 numbers"
  words = f"'action' has {found} a frame, info.json says 7"
  assert_episode(root, 2, path, words)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_vectors_that_are_missing(copy, version):
  root = copy(version)
  name = {"v2.1": "data/chunk-000/episode_000002.parquet", "v3.0": DATA}[
    version
  ]
  table = parquet.read_table(root / name)
  mask = np.arange(9) == 4
  column = table["action"].combine_chunks()
  spoiled = pa.array(column.to_pylist(), column.type, mask=mask)
  place = table.column_names.index("action")
  parquet.write_table(table.set_column(place, "action", [spoiled]), root / name)
  assert_episode(root, 2, name, "'action' has 0, 7 numbers a frame")
  parquet.write_table(table.drop_columns("action"), root / name)
  assert_episode(root, 2, name, "no column 'action'; it has")


def test_an_episode_of_one_frame(tmp_path):
  for version in ("v2.1", "v3.0"):
    plan = make_lerobot.Plan(version=version, lengths=(7, 1, 9))
    root = make_lerobot.make(tmp_path / version, plan).root
    assert "episode 1" in (message := told(root))
    assert "one frame, which no action follows" in message
    found = lerobot.open(str(root), base.Options(skip_bad=True))
    assert found.lengths.tolist() == [7, 9]
    images = found.open_images(tuple(found.cameras)).read(np.array([7]))
    for (picture,) in images.values():
      assert make_lerobot.number_in(picture) == 8


def test_frames_that_do_not_count_up(copy):
  root = copy()

  def swap(rows):
    rows[4]["frame_index"] = 7

  change_rows(root, swap, DATA)
  assert_episode(root, 2, DATA, "frame_index is 7 at frame 4")


def test_another_number_of_frames_than_the_metadata_say(copy):
  root = copy()
  change_rows(root, lambda rows: rows.pop(), DATA)
  assert_episode(root, 2, DATA, "8 frames, the metadata say 9")


def test_a_task_that_is_not_there(copy):
  root = copy()

  def other(rows):
    rows[3]["task_index"] = 7

  change_rows(root, other, DATA)
  assert_episode(root, 2, DATA, "task 7, there are 2")


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
def test_ranges_that_cannot_be(copy, values, words):
  root = copy()
  change_rows(root, lambda rows: rows[2].update(values))
  assert_episode(root, 2, EPISODES, words)


def test_ranges_that_overlap(copy):
  root = copy()
  begins = {f"{TOP}/from_timestamp": 0.4, f"{TOP}/to_timestamp": 0.9}
  change_rows(root, lambda rows: rows[1].update(begins))
  words = "starts at frame 4 of", "which is one of episode 0"
  assert_episode(root, 1, EPISODES, *words)


def test_episodes_that_are_listed_twice_or_not_at_all(copy):
  root = copy()
  change_rows(root, lambda rows: rows[2].update(episode_index=0))
  assert "episode 0 is listed twice" in told(root, skip_bad=True)
  change_rows(root, lambda rows: rows[2].update(episode_index=-1))
  assert "episode_index -1" in told(root, skip_bad=True)
  change_rows(root, lambda rows: rows.pop())
  message = told(root, skip_bad=True)
  assert "total_episodes is 3, meta/episodes lists 2" in message
  shutil.rmtree(root / "meta/episodes")
  assert "no Parquet file: the copy is not complete" in told(root)


def test_lines_of_v21_that_are_wrong(copy):
  root = copy("v2.1")
  path = root / "meta/episodes.jsonl"
  lines = path.read_text()
  path.write_text(lines + "[1]\n")
  assert "line 4 is no object" in told(root)
  path.write_text(lines + "{")
  assert "episodes.jsonl: line 4 is not JSON" in told(root)
  path.write_text(lines.replace('"length": 5', '"length": "5"'))
  assert_episode(root, 1, "a length of '5'")


def test_if_none_is_sound(copy):
  root = copy()
  shutil.rmtree(root / "videos")
  message = told(root, skip_bad=True)
  assert "none of 3 episodes is sound: episode 0" in message


@pytest.mark.parametrize(
  ("version", "words"),
  [
    ("v1.6", "convert_dataset_v1_to_v2.py"),
    ("v2.2", "convert it with the LeRobot that wrote it"),
    ("v4.0", "update carnet"),
    (None, "no codebase_version"),
    (3, "update carnet"),
    ("latest" * 50, "codebase_version 'latest"),
  ],
)
def test_versions_that_nobody_reads(copy, version, words):
  root = copy()
  change_info(root, lambda info: info.update(codebase_version=version))
  message = told(root)
  assert words in message
  assert "read are v2.0, v2.1, v3.0" in message
  assert "meta/info.json" in message


@pytest.mark.parametrize(
  "template",
  [
    "../../{video_key}",
    "/etc/{chunk_index}",
    "videos/../../{file_index}",
    "{video_key.__class__}",
    "{video_key!r}",
    "{chunk_index:99999999999d}",
    "{nothing}",
    "{0}",
    "{}",
    "a\nb",
    "c:\\{file_index}",
    "",
    3,
  ],
)
def test_paths_that_lead_elsewhere(copy, template):
  root = copy()
  change_info(root, lambda info: info.update(video_path=template))
  assert "info.json: the path" in told(root, skip_bad=True)


@pytest.mark.parametrize("key", ["../up", "a/b", "..", "", "new\nline"])
def test_features_whose_names_are_paths(copy, key):
  root = copy()
  video = {"dtype": "video", "shape": [64, 96, 3], "names": None}
  change_info(root, lambda info: info["features"].update({key: video}))
  assert "cannot be part of a path" in told(root)


@pytest.mark.parametrize(
  "values",
  [
    {"fps": 0},
    {"fps": -3},
    {"fps": float("nan")},
    {"fps": "10"},
    {"fps": 10**9},
    {"total_episodes": -1},
    {"total_episodes": 10**30},
    {"total_frames": 1.5},
    {"total_frames": 0},
    {"features": {}},
    {"features": []},
    {"features": {"action": {"shape": [7]}}},
    {"features": {"action": {"dtype": "float32", "shape": [-7]}}},
    {"features": {"action": {"dtype": "float32", "shape": [1 << 20] * 3}}},
    {"features": {"action": {"dtype": "float32", "shape": "7"}}},
    {"features": {"top": {"dtype": "video", "shape": [64, 96]}}},
    {"features": {"top": {"dtype": "video", "shape": [1 << 19, 9, 3]}}},
  ],
)
def test_infos_that_cannot_be_true(copy, values):
  root = copy()
  change_info(root, lambda info: info.update(values))
  assert "meta/info.json: " in told(root)


@pytest.mark.parametrize(
  ("content", "words"),
  [
    (b"[]", "list, not an object"),
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b" " * (1 << 26) + b"{}", "at most 67108864 are read"),
  ],
)
def test_an_info_that_is_none(copy, content, words):
  root = copy()
  (root / "meta/info.json").write_bytes(content)
  assert words in told(root)


def test_statistics_that_are_none(copy):
  root = copy()
  path = root / "meta/stats.json"
  for content, words in (
    ('{"action": {"mean": ["a"]}}', "mean of 'action': 'a' is no number"),
    ('{"action": {"std": [NaN]}}', "std of 'action': nan is no number"),
    ("[]", "not an object"),
  ):
    path.write_text(content)
    message = told(root)
    assert "stats.json" in message
    assert words in message


def test_more_rows_than_the_metadata_say(copy):
  root = copy()
  column = pa.array(np.zeros(10**6, np.int64))
  parquet.write_table(pa.table({"episode_index": column}), root / DATA)
  assert_episode(root, 2, DATA, "1000000 rows, the metadata say at most 21")


def test_a_damaged_frame_is_named_when_it_is_met(copy):
  root = copy()
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


def picture_with(data):
  """Returns a change of rows: the sixth picture becomes `data`."""

  def change(rows):
    rows[5]["observation.images.top"] = data

  return change


def bomb():
  """Returns a PNG that says it has 40000 x 40000 pixels."""
  header = struct.pack(">II5B", 40_000, 40_000, 8, 2, 0, 0, 0)
  chunks = [
    (b"IHDR", header),
    (b"IDAT", zlib.compress(bytes(100))),
    (b"IEND", b""),
  ]
  out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
  out.seek(0, 2)
  for kind, body in chunks:
    out.write(struct.pack(">I", len(body)) + kind + body)
    out.write(struct.pack(">I", zlib.crc32(kind + body)))
  return out.getvalue()


@pytest.mark.parametrize(
  ("data", "words"),
  [
    ({"bytes": b"nothing", "path": "x"}, "no readable picture"),
    ({"bytes": bomb(), "path": "x"}, "no readable picture"),
    ({"bytes": None, "path": "../../secret.png"}, "no such file"),
    ({"bytes": None, "path": "/etc/passwd"}, "a path elsewhere"),
    ({"bytes": None, "path": None}, "no picture"),
    (None, "no picture"),
  ],
)
def test_pictures_in_parquet_that_are_none(copy, data, words):
  root = copy("images")
  change_rows(root, picture_with(data), FIRST)
  found = lerobot.open(str(root), base.Options())
  images = found.open_images(tuple(found.cameras))
  assert (
    make_lerobot.number_in(
      images.read(np.array([4]))["observation.images.top"][0]
    )
    == 4
  )
  with pytest.raises(errors.UserError) as caught:
    images.read(np.array([3, 5]))
  message = str(caught.value)
  assert (
    f"{FIRST}: camera 'observation.images.top', episode 0, frame 5" in message
  )
  assert words in message
  assert "\n" not in message


def test_pictures_of_another_size(copy):
  root = copy("images")

  def change(info):
    info["features"]["observation.images.top"]["shape"] = [96, 64, 3]

  change_info(root, change)
  assert "a picture of 64x96, info.json says 96x64" in told(root)


def test_a_first_picture_that_is_none(copy):
  root = copy("images")

  def spoil(rows):
    rows[0]["observation.images.top"] = {"bytes": b"", "path": None}

  change_rows(root, spoil, FIRST)
  assert_episode(root, 0, FIRST, "frame 0: no readable picture")


def test_pictures_beside_the_parquet_files(copy):
  root = copy("images")
  rows = parquet.read_table(root / FIRST).to_pylist()
  data = rows[5]["observation.images.top"]["bytes"]
  (root / "images").mkdir()
  (root / "images/5.png").write_bytes(data)
  beside = picture_with({"bytes": None, "path": "images/5.png"})
  change_rows(root, beside, FIRST)
  found = lerobot.open(str(root), base.Options())
  (picture,) = found.open_images(tuple(found.cameras)).read(np.array([5]))[
    "observation.images.top"
  ]
  assert make_lerobot.number_in(picture) == 5
