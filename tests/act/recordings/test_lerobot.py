"""LeRobotDatasets of three versions: what LeRobot itself returns, bit for bit.

`LEROBOT_DATASET_FIXTURES` names a dataset; beside it, in a file with the suffix
`_items.npz`, are items that LeRobot returned. Sizes and names are read there.
"""

import concurrent.futures
import json
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_lerobot

from act import dataset
from act.recordings import base, lerobot, opening
from carnet import errors, hub

DEFAULT = (
  pathlib.Path(__file__).parents[2] / "fixtures/lerobot_dataset_v30_tiny"
)
FIXTURES = pathlib.Path(os.environ.get("LEROBOT_DATASET_FIXTURES", DEFAULT))
ITEMS = FIXTURES.with_name(FIXTURES.name + "_items.npz")
IMAGES = (("top", "image"), ("wrist", "video"))
PLANS = {
  "v2.0": make_lerobot.Plan(
    version="v2.0", cameras=IMAGES, channels_first=True
  ),
  "v2.1": make_lerobot.Plan(version="v2.1", codec=make_lerobot.H264),
  "v3.0": make_lerobot.Plan(),
  "v3.0, images": make_lerobot.Plan(cameras=IMAGES),
  "v3.0, B-frames": make_lerobot.Plan(codec=("libx264", {"g": "12"})),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  root = tmp_path_factory.mktemp("lerobot")
  return {
    name: make_lerobot.make(root / str(i), plan)
    for i, (name, plan) in enumerate(PLANS.items())
  }


def opened(made, **options):
  return lerobot.open(str(made.root), base.Options(**options))


@pytest.mark.parity
def test_items_are_those_of_lerobot():
  data = dataset.open(f"lerobot:{FIXTURES}", ("*",), "state")
  with np.load(ITEMS) as items:
    batch = data.batch(items["requested_rows"], items["action"].shape[1])
    for ours, theirs in data.names.items():
      kind, _, camera = ours.partition("/")
      if kind == "images":
        expected = items[theirs].transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(batch["images"][camera], expected)
        assert expected.std() > 0
    np.testing.assert_array_equal(batch["state"], items["observation.state"])
    np.testing.assert_array_equal(batch["actions"], items["action"])
    np.testing.assert_array_equal(batch["is_pad"], items["action_is_pad"])
    assert items["action_is_pad"].any()


@pytest.mark.parity
def test_episodes_and_tasks_are_those_of_lerobot():
  found = opening.open(f"lerobot:{FIXTURES}")
  info = json.loads((FIXTURES / "meta/info.json").read_text())
  stored = json.loads((FIXTURES / "meta/stats.json").read_text())
  assert found.fps == info["fps"]
  assert found.num_frames == info["total_frames"]
  assert found.format == f"LeRobotDataset {info['codebase_version']}"
  with np.load(ITEMS) as items:
    rows = items["requested_rows"]
    places = np.searchsorted(found.first_frames, rows, side="right") - 1
    assert found.episodes[places].tolist() == items["episode_index"].tolist()
    within = rows - found.first_frames[places]
    assert within.tolist() == items["frame_index"].tolist()
    assert [found.tasks[p] for p in places] == items["task"].tolist()
  for feature, block in found.statistics.items():
    for name, values in block.items():
      assert values == np.ravel(stored[feature][name]).tolist()
  for name, vector in found.vectors.items():
    assert list(vector.names) == (info["features"][name]["names"] or [])


@pytest.mark.parametrize("name", PLANS)
def test_every_frame_of_every_version(made, name):
  one = made[name]
  found = opened(one)
  assert found.format == f"LeRobotDataset {one.plan.version}"
  assert found.origin == f"lerobot:{one.root}"
  assert found.lengths.tolist() == list(one.plan.lengths)
  assert found.episodes.tolist() == [0, 1, 2]
  assert found.tasks == ("push the block", "lift the cube", "push the block")
  assert found.fps == one.plan.fps
  assert list(found.cameras) == [
    f"observation.images.{c}" for c in ("top", "wrist")
  ]
  assert found.skipped == ()
  assert found.details["notes"] == []
  np.testing.assert_array_equal(found.vectors["action"].values, one.action)
  np.testing.assert_array_equal(
    found.vectors["observation.state"].values, one.state
  )
  assert found.vectors["action"].names == tuple(f"a{i}" for i in range(7))
  frames = np.random.default_rng(0).permutation(found.num_frames)
  images = found.open_images(tuple(found.cameras)).read(frames)
  for pictures in images.values():
    numbers = [make_lerobot.number_in(picture) for picture in pictures]
    assert numbers == frames.tolist()


@pytest.mark.parametrize("picture_format", ["PNG", "JPEG"])
def test_pictures_in_parquet_are_as_they_were(tmp_path, picture_format):
  plan = make_lerobot.Plan(
    cameras=(("a", "image"),), picture_format=picture_format
  )
  made = make_lerobot.make(tmp_path, plan)
  (name,) = (found := opened(made)).cameras
  images = found.open_images((name,)).read(np.arange(found.num_frames))[name]
  expected = np.stack(
    [make_lerobot.picture(i, 0, 64, 96) for i in range(found.num_frames)]
  )
  if picture_format == "PNG":
    np.testing.assert_array_equal(images, expected)
  else:
    assert np.abs(images.astype(int) - expected).mean() < 20
    assert [make_lerobot.number_in(i) for i in images] == list(range(21))


def test_frames_may_be_asked_for_twice_and_by_nobody(made):
  found = opened(made["v3.0"])
  (name, _) = found.cameras
  images = found.open_images((name,))
  numbers = [
    make_lerobot.number_in(image)
    for image in images.read(np.array([20, 3, 20, 4, 3, 3]))[name]
  ]
  assert numbers == [20, 3, 20, 4, 3, 3]
  assert images.read(np.array([], np.int64))[name].shape == (0, 64, 96, 3)
  with pytest.raises(IndexError, match="0 to 20"):
    images.read(np.array([21]))
  with pytest.raises(IndexError, match="0 to 20"):
    images.read(np.array([-1]))


@pytest.mark.parametrize("name", ["v3.0, images", "v2.1"])
def test_readers_travel_and_share(made, name):
  found = opened(made[name])
  images = found.open_images(tuple(found.cameras))
  images.read(np.array([1]))
  images = pickle.loads(pickle.dumps(images))
  frames = [np.array([i, 20 - i]) for i in range(21)] * 2
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    batches = list(pool.map(images.read, frames))
  for wanted, batch in zip(frames, batches, strict=True):
    for pictures in batch.values():
      numbers = [make_lerobot.number_in(picture) for picture in pictures]
      assert numbers == wanted.tolist()


@pytest.mark.parametrize("name", ["v2.1", "v3.0"])
def test_the_first_episodes_alone_are_opened(made, name, tmp_path):
  copy = copied(made[name].root, tmp_path)
  for path in sorted(copy.rglob("*_000002.*")) or copy.rglob("file-001.*"):
    path.unlink()
  found = lerobot.open(str(copy), base.Options(episodes=2))
  assert found.lengths.tolist() == [7, 5]
  images = found.open_images(tuple(found.cameras)).read(np.array([11]))
  for (picture,) in images.values():
    assert make_lerobot.number_in(picture) == 11
  with pytest.raises(errors.UserError, match=r"9 episodes.*has 3"):
    lerobot.open(str(copy), base.Options(episodes=9))


def test_the_cameras_asked_for_alone_are_opened(made, tmp_path):
  copy = copied(made["v3.0"].root, tmp_path)
  for path in (copy / "videos/observation.images.wrist").rglob("*.mp4"):
    path.unlink()
  options = base.Options(cameras=("observation.images.top", "nobody"))
  found = lerobot.open(str(copy), options)
  assert len(found.cameras) == 2
  assert found.open_images(("observation.images.top",)).read(np.array([3]))
  with pytest.raises(errors.UserError, match=r"wrist.*known: .*top\)"):
    found.open_images(("observation.images.wrist",))


@pytest.mark.parametrize("name", ["v2.0", "v2.1", "v3.0"])
def test_statistics_are_those_of_all_frames(made, name):
  stored = opened(made[name]).statistics
  for key, values in (
    ("action", made[name].action),
    ("observation.state", made[name].state),
  ):
    rows = values.astype(np.float64)
    np.testing.assert_allclose(stored[key]["mean"], rows.mean(0), rtol=1e-9)
    np.testing.assert_allclose(stored[key]["std"], rows.std(0), rtol=1e-9)
    assert stored[key]["min"] == rows.min(0).tolist()
    assert stored[key]["count"] == [21]
  assert stored["observation.images.top"]["mean"] == [0.5] * 3


def test_statistics_of_episodes_do_where_there_are_no_others(made, tmp_path):
  copy = copied(made["v3.0"].root, tmp_path)
  (copy / "meta/stats.json").unlink()
  whole = opened(made["v3.0"]).statistics["action"]
  found = lerobot.open(str(copy), base.Options()).statistics["action"]
  for name, values in found.items():
    np.testing.assert_allclose(values, whole[name], rtol=1e-9)
  assert lerobot.open(str(copy), base.Options(episodes=1)).statistics["action"][
    "count"
  ] == [7]


def test_tasks_may_stand_in_a_nameless_index(made, tmp_path):
  copy = copied(made["v3.0"].root, tmp_path)
  make_lerobot.write_tasks(copy, "__index_level_0__")
  found = lerobot.open(str(copy), base.Options())
  assert found.tasks == opened(made["v3.0"]).tasks


def test_the_revision_is_that_of_the_content(made, tmp_path):
  copy = copied(made["v3.0"].root, tmp_path)
  before = lerobot.open(str(copy), base.Options()).revision
  assert before == opened(made["v3.0"]).revision
  assert before.startswith("sha256:")
  (copy / "README.md").write_text("a card")
  assert lerobot.open(str(copy), base.Options()).revision == before
  seen = {before}
  for name in (
    "meta/stats.json",
    "videos/observation.images.top/chunk-000/file-000.mp4",
  ):
    with (copy / name).open("ab") as file:
      file.write(b"\n" if name.endswith("json") else bytes(8))
    seen.add(lerobot.open(str(copy), base.Options()).revision)
  assert len(seen) == 3


def test_vectors_of_many_types_and_shapes(made, tmp_path):
  import pyarrow as pa
  from pyarrow import parquet

  copy = copied(made["v2.1"].root, tmp_path)
  info = json.loads((copy / "meta/info.json").read_text())
  for name, dtype, shape in (
    ("next.reward", "float64", [1]),
    ("next.done", "bool", [1]),
    ("gripper", "int64", []),
    ("pose", "float32", [2, 3]),
    ("said", "string", [1]),
    ("odd", "complex64", [1]),
  ):
    info["features"][name] = {"dtype": dtype, "shape": shape, "names": None}
  info["features"]["pose"]["names"] = {"axes": ["x", "y", "z", "a", "b", "c"]}
  (copy / "meta/info.json").write_text(json.dumps(info))
  for path in (copy / "data").rglob("*.parquet"):
    table = parquet.read_table(path)
    count = np.arange(len(table))
    for name, column in {
      "next.reward": pa.array([*count[:-1] / 4, np.nan], pa.float64()),
      "next.done": pa.array((count > 2).tolist()),
      "gripper": pa.array((count * 3).tolist(), pa.int64()),
      "pose": pa.array(
        (count[:, None, None] + np.arange(6.0).reshape(2, 3)).tolist(),
        pa.list_(pa.list_(pa.float32())),
      ),
    }.items():
      table = table.append_column(name, column)
    parquet.write_table(table, path, row_group_size=3)
  found = lerobot.open(str(copy), base.Options())
  values = {name: v.values for name, v in found.vectors.items()}
  assert {v.dtype for v in values.values()} == {np.dtype("float32")}
  assert values["next.reward"][:6, 0].tolist() == [i / 4 for i in range(6)]
  assert values["next.done"][:4, 0].tolist() == [0, 0, 0, 1]
  assert values["gripper"][7:10].tolist() == [[0], [3], [6]]
  assert values["pose"][8].tolist() == [1, 2, 3, 4, 5, 6]
  assert found.vectors["pose"].names == ("x", "y", "z", "a", "b", "c")
  assert set(found.details["ignored_features"]) == {"said", "odd"}
  note, *_ = found.details["notes"]
  assert "episode 0: 'next.reward' of frame 6 is not finite" in note


def test_depth_is_left_alone(made, tmp_path):
  copy = copied(made["v3.0"].root, tmp_path)
  info = json.loads((copy / "meta/info.json").read_text())
  info["features"]["observation.images.wrist"]["info"]["is_depth_map"] = True
  (copy / "meta/info.json").write_text(json.dumps(info))
  found = lerobot.open(str(copy), base.Options())
  assert list(found.cameras) == ["observation.images.top"]
  asked = base.Options(cameras=("observation.images.wrist",))
  with pytest.raises(errors.UserError, match="not read: a depth map"):
    lerobot.open(str(copy), asked)


def test_late_timestamps_are_noted(tmp_path):
  plan = make_lerobot.Plan(version="v2.1", cameras=(("a", "video"),))
  made = make_lerobot.make(tmp_path, plan)
  info = json.loads((tmp_path / "meta/info.json").read_text())
  assert opened(made).details["notes"] == []
  from pyarrow import parquet

  path = tmp_path / "data/chunk-000/episode_000001.parquet"
  table = parquet.read_table(path)
  column = table.column_names.index("timestamp")
  late = table["timestamp"].to_numpy() * np.float32(1.5)
  parquet.write_table(table.set_column(column, "timestamp", [late]), path)
  (note,) = opened(made).details["notes"]
  assert note.startswith("episode 1: timestamps are up to 2 frames from")
  assert info["fps"] == 10


def test_a_hub_is_asked_for_what_no_directory_is(made, monkeypatch):
  commit = "a" * 40
  asked = []

  def snapshot(*args):
    asked.append(args)
    return hub.Snapshot(made["v3.0"].root, commit)

  monkeypatch.setattr(hub, "snapshot", snapshot)
  found = opening.open("lerobot:somebody/pushing@v3.0")
  assert found.origin == f"lerobot:somebody/pushing@{commit}"
  assert found.identity == "somebody/pushing"
  assert found.revision == found.details["commit"] == commit
  lerobot.open("a/b", base.Options(cameras=("observation.images.top",)))
  everything = ["meta/*", "data/*", "videos/*", "images/*"]
  assert asked[0] == ("somebody/pushing", "dataset", "v3.0", everything)
  assert asked[1][2] is None
  assert "videos/observation.images.top/*" in asked[1][3]
  assert "videos/*" not in asked[1][3]


def test_a_directory_comes_before_a_hub(made, tmp_path, monkeypatch):
  (tmp_path / "user").mkdir()
  (tmp_path / "user/name").symlink_to(made["v3.0"].root)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(hub, "snapshot", None)
  assert lerobot.open("user/name", base.Options()).origin == "lerobot:user/name"
  with pytest.raises(errors.UserError, match="no directory, and no user/name"):
    lerobot.open("./nothing", base.Options())


def test_a_path_that_is_misspelt_reads_as_an_id(tmp_path, monkeypatch):
  def snapshot(*args):
    raise errors.UserError("data/s0101@main: no such dataset")

  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(hub, "snapshot", snapshot)
  told = r"'data/s0101' is no directory, and of the hub.*no such dataset"
  with pytest.raises(errors.UserError, match=told):
    lerobot.open("data/s0101", base.Options())


def test_a_snapshot_of_a_hub_links_into_its_blobs(made, tmp_path):
  blobs = tmp_path / "datasets--a--b/blobs"
  snapshot = tmp_path / "datasets--a--b/snapshots" / ("a" * 40)
  blobs.mkdir(parents=True)
  root = made["v3.0"].root
  for number, path in enumerate(p for p in root.rglob("*") if p.is_file()):
    link = snapshot / path.relative_to(root)
    link.parent.mkdir(parents=True, exist_ok=True)
    (blobs / str(number)).write_bytes(path.read_bytes())
    up = os.path.relpath(blobs / str(number), link.parent)
    link.symlink_to(up)
  found = lerobot.open(str(snapshot), base.Options())
  assert found.revision == opened(made["v3.0"]).revision
  assert found.open_images(tuple(found.cameras)).read(np.array([0]))
  (snapshot / "meta/info.json").unlink()
  (snapshot / "meta/info.json").symlink_to(root / "meta/info.json")
  with pytest.raises(errors.UserError, match="leads out of the directory"):
    lerobot.open(str(snapshot), base.Options())


def test_the_import_brings_neither_jax_nor_what_only_reading_needs():
  program = "import sys, act.recordings.lerobot; print(*sys.modules)"
  done = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, check=True, text=True
  )
  loaded = set(done.stdout.split())
  assert "act.recordings.lerobot" in loaded
  absent = {"jax", "torch", "tensorflow", "pandas", "pyarrow", "av", "grain"}
  assert not loaded & (absent | {"huggingface_hub", "PIL"})


def copied(root, tmp_path):
  import shutil

  return pathlib.Path(shutil.copytree(root, tmp_path / "copy"))
