"""An export has the files of LeRobot, and in them the recording."""

import dataclasses
import json
import os
import pathlib
import signal

import fake_recording
import fake_simulator
import interruptions
import numpy as np
import pyarrow.parquet as pq
import pytest

from act import storage
from act.recordings import (
  base,
  caching_check,
  lerobot_completion,
  lerobot_export_workers,
  lerobot_plan,
  lerobot_video_writer,
  lerobot_writer,
  opening,
  own_layout,
)
from carnet import errors

content = interruptions.content
wait_until = interruptions.wait_until
SCRIPT = pathlib.Path(__file__).parent / "cache_numbers.py"
FIXTURE = pathlib.Path(
  os.environ.get(
    "LEROBOT_DATASET_FIXTURES",
    pathlib.Path(__file__).parents[2] / "fixtures/lerobot_dataset_v30_tiny",
  )
)
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
ALONE = lerobot_writer.Asked(workers=1)


@pytest.fixture
def fake(monkeypatch, tmp_path):
  recording = even(fake_recording.make(tmp_path / "source"))
  fake_recording.install(monkeypatch, recording)
  return recording


def even(recording: base.Recording) -> base.Recording:
  return dataclasses.replace(recording, skipped=())


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> pathlib.Path:
  """Returns LeRobot's dataset, read by us and written by us."""
  root = tmp_path_factory.mktemp("export") / "copy"
  return lerobot_writer.export(f"lerobot:{FIXTURE}", root, ALONE)


def read_json(path: pathlib.Path):
  return json.loads(path.read_text())


def names_and_types(path: pathlib.Path) -> list[tuple[str, str]]:
  return [(field.name, str(field.type)) for field in pq.read_schema(path)]


# as LeRobot writes it


def test_the_files_of_lerobot(copy):
  def files(root):
    return {str(x.relative_to(root)) for x in root.rglob("*") if x.is_file()}

  assert files(copy) - files(FIXTURE) == {"README.md", "meta/carnet.json"}
  assert not files(FIXTURE) - files(copy)


def test_the_info_of_lerobot(copy):
  ours, theirs = (read_json(x / "meta/info.json") for x in (copy, FIXTURE))
  assert ours == theirs
  assert list(ours["features"]) == list(theirs["features"])


def test_the_data_of_lerobot(copy):
  ours, theirs = pq.ParquetFile(copy / DATA), pq.ParquetFile(FIXTURE / DATA)
  assert ours.schema_arrow.equals(theirs.schema_arrow)
  told, expected = (
    json.loads(x.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    for x in (ours, theirs)
  )
  assert told == expected
  assert ours.num_row_groups == theirs.num_row_groups
  for group in range(ours.num_row_groups):
    one, two = ours.read_row_group(group), theirs.read_row_group(group)
    for name in one.column_names:
      assert one[name].to_pylist() == two[name].to_pylist(), name


def test_the_episodes_of_lerobot(copy):
  assert names_and_types(copy / EPISODES) == names_and_types(FIXTURE / EPISODES)
  ours, theirs = (pq.read_table(x / EPISODES) for x in (copy, FIXTURE))
  for one, two in zip(ours.to_pylist(), theirs.to_pylist(), strict=True):
    for name, value in one.items():
      if not name.startswith("stats/"):
        assert value == pytest.approx(two[name]), name


def test_the_tasks_of_lerobot(copy):
  ours, theirs = (
    pq.read_table(x / "meta/tasks.parquet") for x in (copy, FIXTURE)
  )
  assert ours.schema.equals(theirs.schema)
  assert ours.to_pylist() == theirs.to_pylist()
  told, expected = (
    json.loads(x.schema.metadata[b"pandas"]) for x in (ours, theirs)
  )
  assert told["index_columns"] == expected["index_columns"] == ["task"]
  assert [x["name"] for x in told["columns"]] == [
    x["name"] for x in expected["columns"]
  ]


def test_the_statistics_of_lerobot(copy):
  """But for its quantiles, which are averages over the episodes."""
  ours, theirs = (read_json(x / "meta/stats.json") for x in (copy, FIXTURE))
  assert ours.keys() == theirs.keys()
  cameras = read_json(FIXTURE / "meta/info.json")["features"]
  for feature, block in theirs.items():
    assert set(ours[feature]) == set(block)
    image = cameras[feature]["dtype"] == "video"
    for name, value in block.items():
      found, expected = np.array(ours[feature][name]), np.array(value)
      assert found.shape == expected.shape
      if name in ("mean", "std", "count") or not (name[0] == "q" or image):
        # theirs are of the pictures before they became a video
        tolerance = 0.02 if image else 1e-5
        np.testing.assert_allclose(found, expected, tolerance, tolerance)


def test_it_is_read_back(copy):
  one = opening.open(f"lerobot:{FIXTURE}")
  two = opening.open(f"lerobot:{copy}")
  assert (one.fps, one.tasks) == (two.fps, two.tasks)
  assert list(one.cameras.items()) == list(two.cameras.items())
  for name, vector in one.vectors.items():
    assert vector.values.tobytes() == two.vectors[name].values.tobytes()
    assert vector.names == two.vectors[name].names
  frames = np.arange(one.num_frames)
  images, copies = (
    x.open_images(tuple(x.cameras)).read(frames) for x in (one, two)
  )
  for name, pictures in images.items():
    for picture, encoded in zip(pictures, copies[name], strict=True):
      assert caching_check.psnr(picture, encoded) > 30


# ours, and anybody's


def test_our_demonstrations(tiny_dataset, tmp_path):
  root = lerobot_writer.export(str(tiny_dataset), tmp_path / "out", ALONE)
  info = read_json(root / "meta/info.json")
  assert list(info["features"]) == [
    "observation.images.top",
    "observation.images.wrist",
    *("next.reward", "next.done", "next.success", "action"),
    *("observation.state", "observation.velocity"),
    *lerobot_plan.COUNTERS,
  ]
  assert (info["fps"], info["robot_type"]) == (50, None)
  rows = pq.read_table(root / DATA).to_pylist()
  steps = fake_simulator.STEPS
  row = rows[3 * steps + 7]  # seed 1003 was rejected
  expected = fake_simulator.qpos(1004, 7)
  np.testing.assert_array_equal(np.float32(row["observation.state"]), expected)
  velocity = np.float32(row["observation.velocity"])
  np.testing.assert_array_equal(velocity, np.cos(expected))
  action = np.float32(row["action"])
  np.testing.assert_array_equal(action, fake_simulator.qpos(1004, 8))
  assert (row["next.reward"], row["next.done"]) == (2.0, False)
  assert row["timestamp"] == np.float32(7 / 50)
  last = rows[4 * steps - 1]
  assert (last["next.reward"], last["next.done"]) == (4.0, True)
  assert last["next.success"] is True
  tasks = pq.read_table(root / "meta/tasks.parquet").to_pylist()
  assert tasks == [{"task_index": 0, "task": "numbers"}]


def test_the_joints_of_aloha_have_names(fake):
  joints = own_layout.ALOHA_JOINTS
  values = np.zeros((20, 14), np.float32)
  vectors = {"qpos": base.Vector(values, joints)}
  recording = dataclasses.replace(
    fake, identity="aloha/transfer_cube", vectors=vectors
  )
  plan = lerobot_plan.of(recording)
  features = lerobot_plan.features(plan, recording, "av1")
  assert features["observation.state"]["names"] == list(joints)
  assert (joints[0], joints[13]) == ("left_waist", "right_gripper")


def test_names_of_any_kind(fake, tmp_path):
  root = lerobot_writer.export(
    "fake", tmp_path / "out", dataclasses.replace(ALONE, repo_id="me/it")
  )
  features = read_json(root / "meta/info.json")["features"]
  assert {k: v["shape"] for k, v in list(features.items())[:5]} == {
    "observation.images.top": [128, 160, 3],
    "observation.images.a_b": [32, 48, 3],
    "observation.state": [3],
    "action": [2],
    "observation.x_y": [1],
  }
  assert features["action"]["names"] == ["left", "right"]
  assert features["observation.state"]["names"] is None
  episodes = pq.read_table(root / EPISODES).to_pylist()
  assert [x["tasks"] for x in episodes] == [["put it in"], [""], ["put it in"]]
  assert [x["length"] for x in episodes] == list(fake_recording.LENGTHS)
  assert "# me/it" in (root / "README.md").read_text()
  source = read_json(root / "meta/carnet.json")["source"]
  assert source["identity"] == "user/some-name.v2"


@pytest.mark.parametrize(
  ("codec", "megabytes", "starts", "files"),
  [
    ("av1", 200, (0, 12 / 30, 14 / 30), [(0, 0)] * 3),
    ("h264", 1e-6, (0, 0, 0), [(0, 0), (0, 1), (1, 0)]),
  ],
)
def test_episodes_that_fill_several_files(
  fake, tmp_path, monkeypatch, codec, megabytes, starts, files
):
  monkeypatch.setattr(lerobot_completion, "_DATA_MEGABYTES", 1e-6)
  monkeypatch.setattr(lerobot_completion, "_VIDEO_MEGABYTES", megabytes)
  monkeypatch.setattr(lerobot_completion, "_FILES_A_CHUNK", 2)
  asked = dataclasses.replace(ALONE, codec=codec)
  root = lerobot_writer.export("fake", tmp_path / "out", asked)
  assert {str(x.relative_to(root)) for x in root.rglob("data/*/*")} == {
    "data/chunk-000/file-000.parquet",
    "data/chunk-000/file-001.parquet",
    "data/chunk-001/file-000.parquet",
  }
  rows = pq.read_table(root / EPISODES).to_pylist()
  assert [x["data/chunk_index"] for x in rows] == [0, 0, 1]
  assert [x["dataset_from_index"] for x in rows] == [0, 12, 14]
  top = "videos/observation.images.top"
  assert [x[f"{top}/from_timestamp"] for x in rows] == pytest.approx(starts)
  assert files == [
    (x[f"{top}/chunk_index"], x[f"{top}/file_index"]) for x in rows
  ]
  found = opening.open(f"lerobot:{root}")
  images = found.open_images(tuple(found.cameras))
  for frame in (0, 11, 12, 13, 14, 19):
    pictures = images.read(np.array([frame]))
    for name, size in fake_recording.SIZES.items():
      source = fake_recording.scene(frame, *size)
      told = lerobot_plan.of(fake).cameras
      feature = next(x for x, camera in told.items() if camera == name)
      assert caching_check.psnr(pictures[feature][0], source) > 28


def test_vectors_without_pictures(fake, tmp_path, monkeypatch):
  fake_recording.install(monkeypatch, dataclasses.replace(fake, cameras={}))
  root = lerobot_writer.export("fake", tmp_path / "out", ALONE)
  assert read_json(root / "meta/info.json")["video_path"] is None
  assert not (root / "videos").exists()
  assert opening.open(f"lerobot:{root}").num_frames == 20


# how it is made


@pytest.mark.parametrize(
  ("owner", "name", "call"),
  [
    (lerobot_export_workers.Exporter, "work", 2),
    (lerobot_video_writer.VideoWriter, "add", 15),
    (lerobot_video_writer, "concatenate", 2),
    (storage, "write_json", 3),
    (lerobot_completion, "_card", 1),
  ],
)
def test_it_appears_when_it_is_complete(
  fake, tmp_path, monkeypatch, owner, name, call
):
  expected = content(lerobot_writer.export("fake", tmp_path / "whole", ALONE))
  root = tmp_path / "out"
  with monkeypatch.context() as patch:
    interruptions.fail_at(patch, owner, name, call)
    with pytest.raises(KeyboardInterrupt):
      lerobot_writer.export("fake", root, ALONE)
  assert not root.exists()
  lerobot_writer.export("fake", root, ALONE)
  assert content(root) == expected
  assert not list(tmp_path.glob(".*"))
  assert lerobot_writer.export("fake", root, ALONE) == root  # at once
  assert content(root) == expected


def test_a_signal_ends_it_and_it_goes_on_with_two(tiny_dataset, tmp_path):
  root = tmp_path / "out"
  process = interruptions.start(SCRIPT, "export", tiny_dataset, root, 2, 0)
  wait_until(lambda: list(tmp_path.glob(".out.exporting/*.mp4")))
  os.kill(process.pid, signal.SIGTERM)
  _, told = process.communicate(timeout=20)
  assert process.returncode == 143, told
  assert told.startswith("SIGTERM: finished episodes are kept")
  assert not root.exists()
  lerobot_writer.export(
    str(tiny_dataset), root, lerobot_writer.Asked(workers=2)
  )
  found = opening.open(f"lerobot:{root}")
  assert found.lengths.tolist() == [fake_simulator.STEPS] * 6


def test_a_full_disk_is_one_line(tiny_dataset, tmp_path):
  root = tmp_path / "out"
  asked = ("export", tiny_dataset, root, 1, 0)
  interruptions.assert_fills_the_disk(1, SCRIPT, *asked)
  assert not root.exists()
  assert not list(tmp_path.rglob("*.mp4*"))


def test_what_the_check_finds(fake, tmp_path, monkeypatch):
  add = lerobot_video_writer.VideoWriter.add
  monkeypatch.setattr(
    lerobot_video_writer.VideoWriter,
    "add",
    lambda self, image: add(self, image[..., ::-1].copy()),
  )
  with pytest.raises(RuntimeError, match="frame 0 of episode 3, camera"):
    lerobot_writer.export("fake", tmp_path / "out", ALONE)
  assert not (tmp_path / "out").exists()


# what it refuses


@pytest.mark.parametrize(
  ("change", "asked", "message"),
  [
    ({"fps": None}, {}, "does not tell its frames a second: add --fps"),
    ({"fps": 29.97}, {}, "29.97 frames a second, LeRobot takes whole"),
    ({}, {"fps": 25.0}, "has 30 frames a second, not --fps=25"),
    (
      {"cameras": {"top": base.Camera(97, 64)}},
      {},
      "camera 'top' has 97x64 pixels",
    ),
    (
      {"cameras": {x: base.Camera(2, 2) for x in ("a/b", "a_b")}},
      {},
      r"'a/b' and 'a_b' would both be 'observation\.images\.a_b'",
    ),
    ({}, {"repo_id": "me"}, "--repo_id=me: write user/name"),
    ({}, {"codec": "h265"}, "unknown codec 'h265'"),
  ],
)
def test_what_lerobot_cannot_hold(
  fake, tmp_path, monkeypatch, change, asked, message
):
  fake_recording.install(monkeypatch, dataclasses.replace(fake, **change))
  asked = dataclasses.replace(ALONE, **asked)
  with pytest.raises(errors.UserError, match=message):
    lerobot_writer.export("fake", tmp_path / "out", asked)
  assert not (tmp_path / "out").exists()


def test_a_rate_that_the_data_do_not_tell(fake):
  silent = dataclasses.replace(fake, fps=None)
  assert lerobot_plan.of(silent, 25.0).fps == 25
  odd = dataclasses.replace(fake, fps=29.97)
  assert lerobot_plan.of(odd, 30.0).fps == 30


def test_other_directories_and_settings(fake, tmp_path):
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine/thesis.txt").write_text("years of work")
  with pytest.raises(errors.UserError, match="no finished export"):
    lerobot_writer.export("fake", tmp_path / "mine", ALONE)
  (tmp_path / "empty").mkdir()
  (tmp_path / "link").symlink_to(tmp_path / "empty")
  with pytest.raises(errors.UserError, match="is a link: name the directory"):
    lerobot_writer.export("fake", tmp_path / "link", ALONE)
  root = lerobot_writer.export("fake", tmp_path / "out", ALONE)
  with pytest.raises(errors.UserError, match="codec is 'av1' there, 'h264'"):
    lerobot_writer.export(
      "fake", root, dataclasses.replace(ALONE, codec="h264")
    )


@pytest.mark.parametrize("skip", [False, True])
def test_an_unsound_episode(monkeypatch, tmp_path, skip):
  recording = fake_recording.make(
    tmp_path / "source", broken=12
  )  # of episode 4
  fake_recording.install(monkeypatch, recording)
  root = tmp_path / "out"
  if not skip:
    with pytest.raises(errors.UserError, match="frame 12: cut short"):
      lerobot_writer.export("fake", root, ALONE)
  lerobot_writer.export("fake", root, ALONE, base.Options(skip_bad=True))
  found = opening.open(f"lerobot:{root}")
  assert found.lengths.tolist() == [12, 6]
  kept = np.r_[0:12, 14:20]
  np.testing.assert_array_equal(
    found.vectors["action"].values, recording.vectors["action"].values[kept]
  )
  source = read_json(root / "meta/carnet.json")["source"]
  assert [x["episode"] for x in source["skipped"]] == [4, 5]
