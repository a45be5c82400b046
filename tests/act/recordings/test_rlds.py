"""RLDS in array_record, against what TensorFlow Datasets writes and reads."""

import io
import json
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from PIL import Image

from act.recordings import base, opening
from carnet import errors

F = tfds.features
LENGTHS = (3, 5, 4)
SHARDS = (2, 1)
NAMES = ("observation/image", "observation/plain", "observation/raw")


def features(ragged):
  step = {
    "observation": {
      "image": F.Image(shape=(8, 10, 3), encoding_format="jpeg"),
      "wrist": F.Image(shape=(None, None, 3), encoding_format="png"),
      "depth": F.Image(shape=(8, 10, 1), encoding_format="png"),
      "raw": F.Tensor(shape=(6, 5, 3), dtype=np.uint8, encoding="bytes"),
      "plain": F.Tensor(shape=(4, 4, 3), dtype=np.uint8),
      "state": F.Tensor(shape=(3,), dtype=np.float32),
      "pose": F.Tensor(shape=(2, 2), dtype=np.float64, encoding="zlib"),
      "embedding": F.Tensor(shape=(512,), dtype=np.float32),
    },
    "action": {
      "world_vector": F.Tensor(shape=(3,), dtype=np.float32),
      "open": F.Tensor(shape=(), dtype=np.int32),
    },
    "reward": F.Scalar(np.float32),
    "is_first": F.Scalar(np.bool_),
    "is_last": F.Scalar(np.bool_),
    "language_instruction": F.Text(),
  }
  if ragged:  # which TensorFlow Datasets writes, and cannot read
    tensor = F.Tensor(shape=(None,), dtype=np.float32)
    step["observation"]["ragged"] = tensor
  metadata = {"file_path": F.Text(), "fps": F.Scalar(np.int64)}
  return F.FeaturesDict(
    {"steps": F.Dataset(step), "episode_metadata": metadata}
  )


def encoded(pixels, kind):
  buffer = io.BytesIO()
  Image.fromarray(pixels.squeeze()).save(buffer, kind)
  return io.BytesIO(buffer.getvalue())


def steps(length, rng, ragged=0):
  def pixels(*shape):
    return rng.integers(0, 256, shape).astype(np.uint8)

  for index in range(length):
    step = {
      "observation": {
        "image": encoded(pixels(8, 10, 3), "JPEG"),
        "wrist": encoded(pixels(7, 9, 3), "PNG"),
        "depth": encoded(pixels(8, 10, 1), "PNG"),
        "raw": pixels(6, 5, 3),
        "plain": pixels(4, 4, 3),
        "state": rng.normal(size=3).astype(np.float32),
        "pose": rng.normal(size=(2, 2)),
        "embedding": np.zeros(512, np.float32),
      },
      "action": {
        "world_vector": rng.normal(size=3).astype(np.float32),
        "open": np.int32(-index),
      },
      "reward": np.float32(index == length - 1),
      "is_first": index == 0,
      "is_last": index == length - 1,
      "language_instruction": "open the drawer",
    }
    if ragged:
      step["observation"]["ragged"] = np.zeros(ragged, np.float32)
    yield step


def write(root, episodes, shards=SHARDS):
  """Writes with the encoder and the metadata of TensorFlow Datasets."""
  root.mkdir(exist_ok=True, parents=True)
  episodes = list(episodes)
  described = features("ragged" in episodes[0][0]["observation"])
  serializer = tfds.core.example_serializer.ExampleSerializer(
    described.get_serialized_info()
  )
  identity = tfds.core.dataset_info.DatasetIdentity(
    name="drawer",
    version=tfds.core.Version("0.1.0"),
    data_dir=str(root),
    module_name="",
  )
  info = tfds.core.DatasetInfo(builder=identity, features=described)
  info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
  template = tfds.core.ShardedFileTemplate(
    data_dir=str(root),
    dataset_name="drawer",
    split="train",
    filetype_suffix="array_record",
  )
  split = tfds.core.SplitInfo(
    name="train",
    shard_lengths=list(shards),
    num_bytes=1,
    filename_template=template,
  )
  info.set_splits(tfds.core.splits.SplitDict([split]))
  info.write_to_directory(str(root))
  rest = iter(episodes)
  for index, count in enumerate(shards):
    name = f"drawer-train.array_record-{index:05}-of-{len(shards):05}"
    writer = array_record_module.ArrayRecordWriter(
      str(root / name), "group_size:1"
    )
    for _ in range(count):
      metadata = {"file_path": "x", "fps": 5}
      example = described.encode_example(
        {"steps": list(next(rest)), "episode_metadata": metadata}
      )
      writer.write(serializer.serialize_example(example))
    writer.close()
  return root


def episodes():
  rng = np.random.default_rng(0)
  return [list(steps(length, rng)) for length in LENGTHS]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  directory = tmp_path_factory.mktemp("rlds") / "drawer" / "0.1.0"
  return write(directory, episodes())


def test_is_what_tensorflow_datasets_reads(root):
  found = opening.open(str(root))
  source = tfds.builder_from_directory(str(root)).as_data_source("train")
  assert found.lengths.tolist() == list(LENGTHS)
  assert found.identity == "drawer/0.1.0"
  assert (found.fps, set(found.tasks)) == (5.0, {"open the drawer"})
  assert list(found.cameras) == [*NAMES, "observation/wrist"]
  assert found.cameras["observation/wrist"] == base.Camera(7, 9)
  frames = np.arange(found.num_frames)[::-1]
  images = found.open_images(list(found.cameras)).read(frames)
  theirs = [step for episode in source for step in episode["steps"]]
  for row, frame in enumerate(frames):
    observation, action = theirs[frame]["observation"], theirs[frame]["action"]
    for name in found.cameras:
      picture = observation[name.removeprefix("observation/")]
      np.testing.assert_array_equal(images[name][row], picture)
    for name in ("state", "pose"):
      np.testing.assert_array_equal(
        found.vectors[f"observation/{name}"].values[frame],
        np.asarray(observation[name], np.float32).ravel(),
      )
    np.testing.assert_array_equal(
      found.vectors["action"].values[frame],
      [action["open"], *action["world_vector"]],
    )
  assert found.vectors["action"].names[:2] == ("open", "world_vector/0")
  assert found.vectors["action/open"].values.min() == -4
  assert "observation/embedding" in found.details["not_read"]
  assert "observation/depth" in found.details["not_read"]
  assert "is_last" in found.details["not_read"]


def test_directory_above_the_version_and_first_episodes(root):
  found = opening.open(f"rlds:{root.parent}", base.Options(episodes=2))
  assert found.lengths.tolist() == list(LENGTHS[:2])
  assert found.origin == f"rlds:{root.parent}"
  with pytest.raises(errors.UserError, match=r"episodes=4.* holds 3"):
    opening.open(f"rlds:{root}", base.Options(episodes=4))


def test_only_cameras_in_use_must_be_sound(tmp_path, root):
  other = encoded(np.zeros((2, 2, 3), np.uint8), "PNG")
  broken = change(episodes(), (0, "observation", "wrist"), other)
  directory = write(tmp_path / "x", broken)
  options = base.Options(cameras=("observation/raw", "raw"))
  found = opening.open(str(directory), options)
  assert found.num_frames == sum(LENGTHS)
  assert list(found.cameras) == [*NAMES, "observation/wrist"]
  assert found.cameras["observation/wrist"] == base.Camera(7, 9)
  with pytest.raises(errors.UserError, match=r"\(2, 2\), in other episodes"):
    opening.open(str(directory))


def test_reader_is_picklable(root):
  reader = opening.open(str(root)).open_images(NAMES)
  copy = pickle.loads(pickle.dumps(reader))
  frames = np.array([11, 0, 4, 4])
  for name, expected in reader.read(frames).items():
    np.testing.assert_array_equal(copy.read(frames)[name], expected)


def change(episodes, where, value):
  *path, last = where
  node = episodes[1]
  for key in path:
    node = node[key]
  node[last] = value
  return episodes


def shard(root, index):
  return root / f"drawer-train.array_record-0000{index}-of-00002"


def test_unsound_episodes_are_refused_or_skipped(tmp_path):
  state = np.array([0, np.nan, 0], np.float32)
  rng = np.random.default_rng(1)
  unsound = {
    "'observation/state' is nan in frame 3, dimension 1": change(
      episodes(), (3, "observation", "state"), state
    ),
    "'observation/ragged' is 4, in other episodes 2": [
      list(steps(3, rng, ragged=2 + 2 * (index == 1))) for index in range(3)
    ],
    r"'observation/wrist' is \(2, 2\), in other episodes \(7, 9\)": change(
      episodes(),
      (0, "observation", "wrist"),
      encoded(np.zeros((2, 2, 3), np.uint8), "PNG"),
    ),
    "corrupt picture": change(
      episodes(), (0, "observation", "image"), io.BytesIO(b"no picture")
    ),
    "an episode of 1 steps": [
      episodes()[0],
      list(steps(1, rng)),
      episodes()[2],
    ],
  }
  for index, (message, content) in enumerate(unsound.items()):
    directory = write(tmp_path / str(index), content)
    pattern = rf"00000-of-00002 \(episode 1\): .*{message}"
    with pytest.raises(errors.UserError, match=pattern) as caught:
      opening.open(str(directory))
    assert "\n" not in str(caught.value)
    found = opening.open(str(directory), base.Options(skip_bad=True))
    assert found.episodes.tolist() == [0, 2]
    assert [x.episode for x in found.skipped] == [1]
    found.open_images(NAMES).read(np.arange(found.num_frames))


def test_files_that_are_no_more_what_they_were(tmp_path, root):
  directory = write(tmp_path / "x", episodes())
  skip = base.Options(skip_bad=True)
  whole = shard(directory, 0).read_bytes()

  def check(message, left):
    with pytest.raises(errors.UserError, match=message):
      opening.open(str(directory))
    found = opening.open(str(directory), skip)
    assert found.episodes.tolist() == left

  shard(directory, 0).write_bytes(whole[: len(whole) // 2])
  check(r"\(episode 0\): .*truncated", [2])
  shard(directory, 0).unlink()
  check(r"\(episode 0\): the file is missing", [2])
  shard(directory, 0).symlink_to(shard(root, 0))
  check("a link out of the directory", [2])
  shard(directory, 1).unlink()
  with pytest.raises(errors.UserError, match="no episode is sound"):
    opening.open(str(directory), skip)


def test_a_record_that_breaks_later_names_the_episode(tmp_path):
  broken = change(
    episodes(), (2, "observation", "image"), io.BytesIO(b"no picture")
  )
  found = opening.open(str(write(tmp_path / "x", broken)))
  pattern = r"\(episode 1\): camera 'observation/image', frame 2: corrupt"
  with pytest.raises(errors.UserError, match=pattern) as caught:
    found.open_images(NAMES).read(np.arange(found.num_frames))
  assert " 0x" not in str(caught.value)
  assert 'exclude_episodes="(1,)"' in str(caught.value)


def edit(path, change):
  content = json.loads(path.read_text())
  change(content)
  path.write_text(json.dumps(content))


def test_what_is_no_rlds_is_refused_and_imports_nothing(tmp_path, root):
  directory = write(tmp_path / "x", episodes())
  described = directory / "features.json"
  text = described.read_text()
  described.write_text(text.replace("tensorflow_datasets.core", "antigravity"))
  opening.open(str(directory))  # classes are not looked at
  described.write_text(text.replace('"steps"', '"step"'))
  with pytest.raises(errors.UserError, match="which nests 'steps'"):
    opening.open(str(directory))
  described.write_text("[" * 100_000)
  with pytest.raises(errors.UserError, match=r"features.json: unreadable"):
    opening.open(str(directory))
  described.write_text(text)
  told = directory / "dataset_info.json"
  edit(told, lambda x: x["splits"][0].update(filepathTemplate="../{SPLIT}"))
  with pytest.raises(errors.UserError, match="no plain name"):
    opening.open(str(directory))
  edit(told, lambda x: x.update(fileFormat="tfrecord"))
  pattern = r"stored as tfrecord.* tfds convert_format --dataset_version_dir="
  with pytest.raises(errors.UserError, match=pattern):
    opening.open(str(directory))
  # what convert_format leaves when it writes beside the tfrecords
  edit(told, lambda x: x.update(alternativeFileFormats=["array_record"]))
  edit(told, lambda x: x["splits"][0].pop("filepathTemplate"))
  assert opening.open(str(directory)).num_frames == sum(LENGTHS)
  with pytest.raises(errors.UserError, match="no RLDS at"):
    opening.open(f"rlds:{tmp_path / 'nowhere'}")


def test_revision_is_of_every_record(tmp_path, root):
  same = write(tmp_path / "same", episodes())
  other = change(episodes(), (2, "reward"), np.float32(9))
  other = write(tmp_path / "other", other)
  revision = opening.open(str(root)).revision
  assert opening.open(str(same)).revision == revision
  assert opening.open(str(other)).revision != revision
