"""Batches are exactly the demonstrations; their order is kept by a state."""

import copy
import json
import subprocess
import sys

import fake_simulator
import numpy as np
import pytest
import tensorflow_datasets as tfds

from act import dataset, storage
from carnet import errors

STEPS = fake_simulator.STEPS


@pytest.fixture
def data(tiny_dataset):
  return dataset.open(tiny_dataset, ("top", "wrist"))


def iterate(data, sampling="frames", ids=range(6), batch_size=8, **options):
  options = {"chunk_size": 5, "seed": 0} | options
  return dataset.make_iterator(data, ids, sampling, batch_size, **options)


def take(iterator, count):
  return [next(iterator) for _ in range(count)]


def assert_equal(one, two):
  flat = {k: v for k, v in one.items() if k != "images"} | one["images"]
  other = {k: v for k, v in two.items() if k != "images"} | two["images"]
  assert flat.keys() == other.keys()
  for name, value in flat.items():
    np.testing.assert_array_equal(value, other[name])


def starts(data, batches):
  """Returns the frame that each sample starts at, by its state."""
  states = np.concatenate([batch["state"] for batch in batches])
  return [
    int(np.flatnonzero((data.state == state).all(axis=1))[0])
    for state in states
  ]


# what a batch holds


def test_images_equal_what_tensorflow_datasets_decodes(
  tiny_dataset, tiny_jpeg_dataset
):
  for path, cameras in (
    (tiny_dataset, ("wrist", "top")),
    (tiny_jpeg_dataset, ("top",)),
  ):
    source = tfds.builder_from_directory(path).as_data_source("train")
    frames = np.array([17, 3, 25, 3, len(source) - 1])
    images = dataset.open(path, cameras).images.read(frames)
    assert tuple(images) == cameras
    for row, frame in enumerate(frames):
      for camera in cameras:
        np.testing.assert_array_equal(
          images[camera][row], source[int(frame)]["images"][camera]
        )


def test_more_shards_than_may_be_open_at_once(data, monkeypatch):
  from act import image_reader

  frames = np.random.default_rng(0).integers(0, data.num_frames, 60)
  expected = data.images.read(frames)
  monkeypatch.setattr(image_reader, "_OPEN_SHARDS", 2)
  few = copy.copy(data.images)  # starts with none open
  for camera, images in few.read(frames).items():
    np.testing.assert_array_equal(images, expected[camera])
  assert len(few._readers) == 2


def test_vectors_equal_what_tensorflow_datasets_decodes(tiny_dataset):
  source = tfds.builder_from_directory(tiny_dataset).as_data_source("train")
  for state in ("qpos", "qvel"):
    data = dataset.open(tiny_dataset, ("top",), state)
    for frame in range(0, len(source), 13):
      np.testing.assert_array_equal(data.state[frame], source[frame][state])
      np.testing.assert_array_equal(
        data.actions[frame], source[frame]["action"]
      )


def test_a_chunk_stops_at_the_end_of_its_episode(data):
  batch = data.batch(np.array([STEPS - 3, 2 * STEPS - 1, STEPS]), 5)
  np.testing.assert_array_equal(
    batch["is_pad"],
    [[0, 0, 0, 1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]],
  )
  # padded with the last action of its own episode, not with the next one's
  expected = [STEPS - 3, STEPS - 2, STEPS - 1, STEPS - 1, STEPS - 1]
  np.testing.assert_array_equal(batch["actions"][0], data.actions[expected])
  np.testing.assert_array_equal(
    batch["actions"][1], data.actions[[2 * STEPS - 1] * 5]
  )
  np.testing.assert_array_equal(
    batch["actions"][2], data.actions[STEPS : STEPS + 5]
  )


def test_shapes_types_and_features(data):
  batch = next(iterate(data))
  assert {k: (v.shape, v.dtype.name) for k, v in batch["images"].items()} == {
    "top": ((8, 32, 32, 3), "uint8"),
    "wrist": ((8, 32, 32, 3), "uint8"),
  }
  del batch["images"]
  assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
    "state": ((8, 14), "float32"),
    "actions": ((8, 5, 14), "float32"),
    "is_pad": ((8, 5), "bool"),
  }
  assert data.features.cameras == ("top", "wrist")
  assert data.features.images[0] == ("top", (32, 32, 3))
  assert (data.features.state_size, data.features.action_size) == (14, 14)
  assert (data.num_episodes, data.num_frames) == (6, 120)
  assert set(data.statistics) == {
    "state",
    "action",
    "images/top",
    "images/wrist",
  }


def test_no_state_and_fewer_episodes(tiny_dataset):
  data = dataset.open(tiny_dataset, ("top",), state="", episodes=2)
  assert (data.num_episodes, data.num_frames) == (2, 40)
  assert data.features.state_size == 0
  assert "state" not in data.statistics
  assert "state" not in next(iterate(data, ids=range(2)))


# sampling


def test_frames_visits_every_frame_once_an_epoch(data):
  iterator = iterate(data, "frames", ids=(1, 4), batch_size=10)
  wanted = [*range(STEPS, 2 * STEPS), *range(4 * STEPS, 5 * STEPS)]
  epochs = [starts(data, take(iterator, 4)) for _ in range(3)]
  for epoch in epochs:
    assert sorted(epoch) == wanted
    assert epoch != wanted
  assert epochs[0] != epochs[1] != epochs[2]


def test_episodes_visits_every_episode_once_an_epoch(data):
  iterator = iterate(data, "episodes", batch_size=6)
  epochs = [starts(data, take(iterator, 1)) for _ in range(200)]
  for epoch in epochs:
    assert sorted(frame // STEPS for frame in epoch) == list(range(6))
  assert epochs[0] != epochs[1]
  # every start is possible, and about equally likely: of 1200 draws 60 each,
  # standard deviation 7.5
  counts = np.bincount(np.array(epochs).ravel() % STEPS, minlength=STEPS)
  assert counts.min() > 30
  assert counts.max() < 90


@pytest.mark.parametrize("sampling", dataset.SAMPLINGS)
def test_the_seed_decides_the_order(data, sampling):
  one, two, other = (
    take(iterate(data, sampling, seed=seed), 4) for seed in (3, 3, 4)
  )
  for a, b in zip(one, two, strict=True):
    assert_equal(a, b)
  assert starts(data, one) != starts(data, other)


def test_split_is_a_deterministic_partition():
  train, validation = dataset.split(50, 0.2, seed=0)
  assert (len(train), len(validation)) == (40, 10)
  assert sorted(train + validation) == list(range(50))
  assert dataset.split(50, 0.2, seed=0) == (train, validation)
  assert dataset.split(50, 0.2, seed=1) != (train, validation)
  assert dataset.split(3, 0.0, seed=0) == ((0, 1, 2), ())
  assert len(dataset.split(3, 0.01, seed=0)[1]) == 1


# state


@pytest.mark.parametrize("sampling", dataset.SAMPLINGS)
@pytest.mark.parametrize("steps", [0, 1, 7, 33])
def test_a_restored_iterator_goes_on_exactly(data, sampling, steps):
  uninterrupted = iterate(data, sampling)
  take(uninterrupted, steps)
  state = json.loads(json.dumps(uninterrupted.get_state()))
  expected = take(uninterrupted, 20)
  resumed = iterate(data, sampling)
  take(resumed, 2)  # wherever it was
  resumed.set_state(state)
  for a, b in zip(expected, take(resumed, 20), strict=True):
    assert_equal(a, b)


@pytest.mark.slow
def test_worker_processes_give_the_same_batches_and_state(data):
  threads, processes = iterate(data), iterate(data, workers=2)
  expected = take(threads, 12)
  for a, b in zip(expected[:5], take(processes, 5), strict=True):
    assert_equal(a, b)
  state = json.loads(json.dumps(processes.get_state()))
  resumed = iterate(data, workers=2)
  resumed.set_state(state)
  for a, b in zip(expected[5:], take(resumed, 7), strict=True):
    assert_equal(a, b)


def test_the_module_imports_no_jax():
  code = (
    "import sys, act.dataset, act.demonstrations; print('jax' in sys.modules)"
  )
  result = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert result.stdout == "False\n"


# refusals


def test_absent_and_incomplete_data(tmp_path):
  with pytest.raises(errors.UserError, match=r"no demonstrations at '.*gone'"):
    dataset.open(tmp_path / "gone", ("top",))
  with pytest.raises(errors.UserError, match=r"looked for meta/info.json .*"):
    dataset.open(tmp_path, ("top",))
  (tmp_path / ".collecting").mkdir()
  with pytest.raises(errors.UserError, match="no complete demonstrations"):
    dataset.open(tmp_path, ("top",))
  with pytest.raises(errors.UserError, match=r"config\.dataset\.path is empty"):
    dataset.open("", ("top",))


def test_unknown_names_suggest_the_nearest(tiny_dataset):
  with pytest.raises(
    errors.UserError, match=r"camera 'topp'.*mean 'top'.*has top, wrist"
  ):
    dataset.open(tiny_dataset, ("topp",))
  with pytest.raises(
    errors.UserError, match=r"state 'qpo'.*mean 'qpos'.*has action, qpos, qvel"
  ):
    dataset.open(tiny_dataset, ("top",), "qpo")
  data = dataset.open(tiny_dataset, ("top",))
  with pytest.raises(errors.UserError, match=r"sampling 'frame'.*'frames'"):
    iterate(data, "frame")


def test_too_many_episodes_asked(tiny_dataset):
  with pytest.raises(errors.UserError, match=r"episodes=7, but '.*' holds 6"):
    dataset.open(tiny_dataset, ("top",), episodes=7)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"chunk_size": 0}, "chunk_size=0: at least 1"),
    ({"batch_size": 0}, "batch_size=0: at least 1"),
    ({"workers": -1}, "workers=-1: at least 0"),
    ({"ids": ()}, "no episodes"),
  ],
)
def test_impossible_numbers(data, options, message):
  with pytest.raises(errors.UserError, match=message):
    iterate(data, **options)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ((1, 0.2, 0), "leaves none of 1"),
    ((4, 0.9, 0), "leaves none of 4"),
    ((4, 1.0, 0), "below 1"),
    ((4, -0.1, 0), "below 1"),
  ],
)
def test_impossible_splits(arguments, message):
  with pytest.raises(errors.UserError, match=message):
    dataset.split(*arguments)


@pytest.fixture
def replica(tiny_jpeg_dataset, tmp_path):
  """Returns a copy that a test may damage."""
  for path in tiny_jpeg_dataset.iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  return tmp_path


def change_metadata(root, change):
  path = root / storage.METADATA_FILE
  metadata = json.loads(path.read_text())
  change(metadata)
  path.write_text(json.dumps(metadata))


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda m: m.pop("statistics"), "no statistics of 'action'"),
    (
      lambda m: m["statistics"].pop("images/top"),
      "no statistics of 'images/top'",
    ),
    (lambda m: m["statistics"].pop("action"), "no statistics of 'action'"),
    (
      lambda m: m["statistics"]["qpos"]["std"].__setitem__(0, float("nan")),
      "'qpos' hold a 'std' that is not finite",
    ),
    (lambda m: m["sizes"].update(qpos=7), r"'qpos' has shape \(40, 14\)"),
    (lambda m: m.update(num_frames=41), "40 frames, not 41"),
    (lambda m: m.pop("cameras"), "damaged"),
    (lambda m: m["episodes"][0].pop("length"), "damaged"),
  ],
)
def test_damaged_metadata(replica, change, message):
  change_metadata(replica, change)
  with pytest.raises(errors.UserError, match=message):
    dataset.open(replica, ("top",))


def test_a_broken_npz(replica):
  path = replica / storage.LOW_DIMENSIONAL_FILE
  path.write_bytes(bytes(path.stat().st_size))
  with pytest.raises(errors.UserError, match=r"low_dimensional\.npz: unread"):
    dataset.open(replica, ("top",))


def test_a_truncated_shard(replica):
  shard = replica / storage.shard_name("fake/numbers", 1, 2)
  shard.write_bytes(shard.read_bytes()[:-100])
  with pytest.raises(errors.UserError, match=f"{shard.name}.*truncated"):
    dataset.open(replica, ("top",))


def test_a_damaged_record_names_its_shard(replica):
  data = dataset.open(replica, ("top",))
  shard = replica / storage.shard_name("fake/numbers", 1, 2)
  shard.write_bytes(bytes(shard.stat().st_size))
  with pytest.raises(errors.UserError, match=f"{shard.name}: unreadable"):
    data.images.read(np.array([STEPS + 1]))


def test_a_corrupt_jpeg_names_its_shard_through_grain(replica, monkeypatch):
  from act import example

  shard = storage.shard_name("fake/numbers", 0, 2)
  data = dataset.open(replica, ("top",))
  find = example.find
  monkeypatch.setattr(example, "find", lambda *a: find(*a)[:200])
  with pytest.raises(errors.UserError, match=rf"{shard}.*'top': corrupt JPEG"):
    next(iterate(data, ids=(0,)))
