"""A cache is its source, but for the JPEGs, whatever happened on the way."""

import dataclasses
import fcntl
import os
import pathlib
import random
import shutil
import signal
import time

import fake_recording
import interruptions
import numpy as np
import pytest
import tensorflow_datasets as tfds

from act import dataset, episode_writer, image_codec, pool, storage
from act.recordings import (
  base,
  caching,
  caching_check,
  caching_workers,
  lerobot_writer,
  opening,
)
from carnet import errors

content = interruptions.content
wait_until = interruptions.wait_until
SCRIPT = pathlib.Path(__file__).parent / "cache_numbers.py"
ALONE = caching.Asked(workers=1)


@pytest.fixture
def fake(monkeypatch, tmp_path):
  recording = fake_recording.make(tmp_path / "source")
  fake_recording.install(monkeypatch, recording)
  return recording


def assert_same(one: base.Recording, two: base.Recording) -> None:
  for name in ("identity", "fps", "tasks", "skipped"):
    assert getattr(one, name) == getattr(two, name), name
  assert list(one.cameras.items()) == list(two.cameras.items())
  assert list(one.vectors) == list(two.vectors)
  for name, vector in one.vectors.items():
    assert vector.names == two.vectors[name].names
    assert vector.values.tobytes() == two.vectors[name].values.tobytes()
  assert one.lengths.tolist() == two.lengths.tolist()
  assert one.episodes.tolist() == two.episodes.tolist()


def read_all(recording: base.Recording) -> dict[str, np.ndarray]:
  reader = recording.open_images(tuple(recording.cameras))
  return reader.read(np.arange(recording.num_frames))


# what is stored


def test_it_is_the_source_but_for_the_jpegs(fake, tmp_path):
  root = caching.cache("fake", tmp_path / "cache", ALONE)
  storage.verify(root)
  cached = opening.open(str(root))
  assert_same(fake, cached)
  images, sources = read_all(cached), read_all(fake)
  np.testing.assert_array_equal(images["a/b"], sources["a/b"])
  top = "observation.images.top"
  for image, source in zip(images[top], sources[top], strict=True):
    expected = np.empty_like(source)
    data = image_codec.encode(source, "jpeg", 90)
    image_codec.decode(data, "jpeg", expected)
    np.testing.assert_array_equal(image, expected)
  assert not (root / storage.CACHING).exists()


def test_its_source_is_written_down(fake, tmp_path):
  metadata = storage.read_metadata(caching.cache("fake", tmp_path / "c", ALONE))
  source = metadata["source"]
  assert source["revision"] == "r1"
  assert source["details"] == {"robot_type": "so101", "odd": None}
  assert source["skipped"] == [{"episode": 5, "reason": "no video"}]
  assert metadata["task"] == "user/some-name.v2"
  assert "settings" not in metadata
  rows = [(x["episode"], x["length"], x["task"]) for x in metadata["episodes"]]
  assert rows == [(3, 12, "put it in"), (4, 2, ""), (9, 6, "put it in")]


def test_a_checkpoint_keeps_it_by_the_names_of_the_policy(fake, tmp_path):
  root = caching.cache("fake", tmp_path / "cache", ALONE)
  kept = dataset.open(root, state="state").metadata
  assert kept["names"]["state"] == "observation.state"
  assert kept["dimensions"] == {"state": [], "action": ["left", "right"]}
  assert kept["task"] == "user/some-name.v2"
  assert [x["episode"] for x in kept["skipped"]] == [5]
  kept = dataset.open(root, state="state", exclude=(4,)).metadata
  assert [x["episode"] for x in kept["skipped"]] == [5]


def test_statistics_of_the_source_come_first(fake, tmp_path):
  root = caching.cache("fake", tmp_path / "cache", ALONE)
  found = opening.open(str(root)).statistics
  assert found["action"]["mean"] == [5.0, 6.0]
  wide = fake.vectors["action"].values.astype(np.float64)
  np.testing.assert_allclose(found["action"]["std"], wide.std(axis=0))
  pixels = read_all(fake)["a/b"] / 255
  np.testing.assert_allclose(found["a/b"]["mean"], pixels.mean(axis=(0, 1, 2)))
  np.testing.assert_allclose(found["a/b"]["std"], pixels.std(axis=(0, 1, 2)))


def test_anyone_reads_it_with_tensorflow_datasets(fake, tmp_path):
  root = caching.cache("fake", tmp_path / "cache", ALONE)
  source = tfds.builder_from_directory(root).as_data_source("train")
  assert len(source) == sum(fake_recording.LENGTHS)
  row = source[15]  # the second frame of the third episode
  assert (row["episode_index"], row["frame_index"]) == (9, 1)
  assert [bool(source[x]["is_last"]) for x in (11, 12, 13)] == [1, 0, 1]
  for name, vector in fake.vectors.items():
    np.testing.assert_array_equal(row["vectors"][name], vector.values[15])
  images = opening.open(str(root)).open_images(tuple(fake.cameras))
  for name, image in images.read(np.array([15])).items():
    np.testing.assert_array_equal(row["images"][name], image[0])


def test_a_cache_of_ours(tiny_dataset, tmp_path):
  root = caching.cache(str(tiny_dataset), tmp_path / "cache", ALONE)
  one, two = opening.open(str(tiny_dataset)), opening.open(str(root))
  assert_same(one, two)
  assert one.statistics == two.statistics
  images = read_all(two)
  for name, expected in read_all(one).items():
    np.testing.assert_array_equal(images[name], expected)


def test_some_episodes_and_cameras_of_a_cache(fake, tmp_path):
  root = caching.cache("fake", tmp_path / "cache", ALONE)
  cached = opening.open(str(root), base.Options(("a/b",), episodes=2))
  assert cached.episodes.tolist() == [3, 4]
  images = cached.open_images(("a/b",)).read(np.array([12]))
  expected = fake_recording.scene(12, *fake_recording.SIZES["a/b"])
  np.testing.assert_array_equal(images["a/b"][0], expected)


def test_vectors_without_pictures(fake, tmp_path, monkeypatch):
  blind = dataclasses.replace(fake, cameras={})
  fake_recording.install(monkeypatch, blind)
  root = caching.cache("fake", tmp_path / "cache", ALONE)
  assert_same(blind, opening.open(str(root)))
  assert len(tfds.builder_from_directory(root).as_data_source("train")) == 20


# how it is made


def test_more_workers_write_the_same_bytes(tiny_dataset, tmp_path):
  one, two = (
    caching.cache(str(tiny_dataset), tmp_path / str(x), caching.Asked(x))
    for x in (1, 2)
  )
  assert content(one) == content(two)


@pytest.mark.parametrize(
  ("owner", "name", "call"),
  [
    (caching_workers.Repacker, "work", 2),
    (episode_writer.EpisodeWriter, "add", 15),
    (caching_check, "check", 3),
    (storage, "write_arrays", 1),
    (storage, "write_arrays", 4),
    (storage, "check_file", 2),  # two of three shards are where they belong
    (storage, "write_json", 2),
    (storage, "write_json", 3),
    (caching.shutil, "rmtree", 1),
  ],
)
def test_stopped_anywhere_it_ends_with_the_same_bytes(
  fake, tmp_path, monkeypatch, owner, name, call
):
  expected = content(caching.cache("fake", tmp_path / "expected", ALONE))
  root = tmp_path / "stopped"
  with monkeypatch.context() as patch:
    interruptions.fail_at(patch, owner, name, call)
    with pytest.raises(KeyboardInterrupt):
      caching.cache("fake", root, ALONE)
  assert not list(root.rglob("*.tmp"))
  caching.cache("fake", root, ALONE)
  assert content(root) == expected


def test_finished_episodes_are_not_made_again(fake, tmp_path, monkeypatch):
  root = tmp_path / "cache"
  with monkeypatch.context() as patch:
    interruptions.fail_at(patch, caching_workers.Repacker, "work", 3)
    with pytest.raises(KeyboardInterrupt):
      caching.cache("fake", root, ALONE)
  repacker = caching_workers.Repacker
  interruptions.fail_at(monkeypatch, repacker, "work", 2)  # one is left
  caching.cache("fake", root, ALONE)
  caching.cache("fake", root, ALONE)


@pytest.mark.parametrize(
  ("number", "code", "message"),
  [
    (signal.SIGINT, 130, "interrupted; run the same command again to go on\n"),
    (
      signal.SIGTERM,
      143,
      "SIGTERM: finished episodes are kept; run the same command again to go "
      "on\n",
    ),
    (signal.SIGKILL, -9, ""),
  ],
)
def test_a_signal_ends_it_and_it_goes_on(
  tiny_dataset, tmp_path, number, code, message
):
  expected = content(
    caching.cache(str(tiny_dataset), tmp_path / "expected", ALONE)
  )
  root = tmp_path / "cache"
  process = interruptions.start(SCRIPT, "cache", tiny_dataset, root, "1", "0.3")
  wait_until(lambda: list(root.glob(".caching/*.npz")))
  with pytest.raises(errors.UserError, match="another run is writing"):
    caching.cache(str(tiny_dataset), root, ALONE)
  os.kill(process.pid, number)
  _, told = process.communicate(timeout=20)
  assert (process.returncode, told) == (code, message)
  assert not (root / storage.METADATA_FILE).exists()
  caching.cache(str(tiny_dataset), root, ALONE)
  assert content(root) == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes(tiny_dataset, tmp_path, number):
  root = tmp_path / "cache"
  process = interruptions.start(SCRIPT, "cache", tiny_dataset, root, "2", "0")
  wait_until(lambda: list(root.glob(".caching")))
  time.sleep(0.5)
  os.killpg(process.pid, number)
  _, told = process.communicate(timeout=20)
  assert "Traceback" not in told
  assert told.count("\n") <= 1
  caching.cache(str(tiny_dataset), root, ALONE)
  storage.verify(root)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_again_and_again_it_ends_with_the_same_bytes(
  tiny_dataset, tmp_path, workers
):
  expected = content(
    caching.cache(str(tiny_dataset), tmp_path / "expected", ALONE)
  )
  root = tmp_path / "cache"
  rng = random.Random(int(workers))
  for _ in range(15):
    process = interruptions.start(
      SCRIPT, "cache", tiny_dataset, root, workers, "0.05"
    )
    time.sleep(rng.uniform(0.5, 2.5))
    process.kill()
    process.communicate()
  wait_until(lambda: free(root / ".caching/lock"))
  caching.cache(str(tiny_dataset), root, ALONE)
  assert content(root) == expected


def free(lock: pathlib.Path) -> bool:
  if not lock.exists():
    return True
  with lock.open() as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      return False
  return True


def test_a_dead_worker_is_reported():
  with (
    pytest.raises(errors.UserError, match="a worker died"),
    pool.start(fake_recording.Dying(), 2) as submit,
  ):
    submit("work", 0).result()


def test_a_full_disk_is_one_line_and_leaves_nothing(tiny_dataset, tmp_path):
  root = tmp_path / "cache"
  asked = ("cache", tiny_dataset, root, 1, 0)
  interruptions.assert_fills_the_disk(64, SCRIPT, *asked)
  assert not list(root.rglob("*.array_record*"))
  caching.cache(str(tiny_dataset), root, ALONE)
  storage.verify(root)


# what it refuses


def test_other_settings_are_refused_by_name(fake, tmp_path):
  root = caching.cache("fake", tmp_path / "cache", ALONE)
  with pytest.raises(errors.UserError, match="quality is 90 there, 80 was"):
    caching.cache("fake", root, caching.Asked(1, quality=80))
  with pytest.raises(errors.UserError, match="--quality=101: 1 to 100"):
    caching.cache("fake", root, caching.Asked(1, quality=101))


@pytest.mark.parametrize("finished", [True, False])
def test_a_source_that_changed_is_refused(
  fake, tmp_path, monkeypatch, finished
):
  root = tmp_path / "cache"
  with monkeypatch.context() as patch:
    if not finished:
      interruptions.fail_at(patch, caching_workers.Repacker, "work", 2)
    try:
      caching.cache("fake", root, ALONE)
    except KeyboardInterrupt:
      assert not finished
  changed = dataclasses.replace(fake, revision="r2")
  fake_recording.install(monkeypatch, changed)
  with pytest.raises(errors.UserError, match="changed since"):
    caching.cache("fake", root, ALONE)


def test_an_unrelated_directory_is_left_alone(fake, tmp_path):
  mine = tmp_path / "mine"
  mine.mkdir()
  (mine / "thesis.txt").write_text("years of work")
  with pytest.raises(errors.UserError, match="not empty"):
    caching.cache("fake", mine, ALONE)
  with pytest.raises(errors.UserError, match="is a file"):
    caching.cache("fake", mine / "thesis.txt", ALONE)
  assert content(mine) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("make", [caching.cache, lerobot_writer.export])
def test_the_source_and_the_result_lie_apart(tiny_dataset, tmp_path, make):
  above = tmp_path / "above"
  shutil.copytree(tiny_dataset, above / "data")
  link = tmp_path / "link"
  link.symlink_to(above / "data")
  before = content(above / "data")
  for out, words in (
    (above / "data", "the source itself"),
    (above / "data/cache", "lies inside of the source"),
    (link / "cache", "lies inside of the source"),
    (above, "lies inside of '.*above'"),
  ):
    with pytest.raises(errors.UserError, match=words):
      make(str(above / "data"), out)
  assert content(above / "data") == before


@pytest.mark.parametrize("make", [caching.cache, lerobot_writer.export])
def test_a_place_that_cannot_be_is_refused_before_any_work(
  fake, tmp_path, monkeypatch, make
):
  def refuse(*_, **__):
    raise AssertionError("work was begun")

  monkeypatch.setattr(pool, "each", refuse)
  link = tmp_path / "link"
  link.symlink_to(tmp_path / "gone")
  with pytest.raises(errors.UserError, match="a link that leads nowhere"):
    make("fake", link)
  with pytest.raises(errors.UserError, match="File name too long"):
    make("fake", tmp_path / ("x" * 300))
  assert os.listdir(tmp_path) == ["link"]


def test_an_unfinished_cache_is_no_dataset(fake, tmp_path):
  work = tmp_path / "cache" / storage.CACHING
  work.mkdir(parents=True)
  (work.parent / "dataset_info.json").write_text("{}")  # as of RLDS
  with pytest.raises(errors.UserError, match=r"convert\.py cache again"):
    opening.open(str(work.parent))
  with (work / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(errors.UserError, match="another run is writing"):
      caching.cache("fake", work.parent, ALONE)


@pytest.mark.parametrize("skip", [False, True])
def test_an_unsound_episode(monkeypatch, tmp_path, skip):
  recording = fake_recording.make(
    tmp_path / "source", broken=12
  )  # of episode 4
  fake_recording.install(monkeypatch, recording)
  root = tmp_path / "cache"
  if not skip:
    with pytest.raises(errors.UserError, match="frame 12: cut short"):
      caching.cache("fake", root, ALONE)
  caching.cache("fake", root, ALONE, base.Options(skip_bad=True))
  cached = opening.open(str(root))
  assert cached.episodes.tolist() == [3, 9]
  assert cached.skipped == (
    base.Skipped(4, "frame 12: cut short"),
    base.Skipped(5, "no video"),
  )
  kept = np.r_[0:12, 14:20]
  np.testing.assert_array_equal(
    cached.vectors["action"].values, recording.vectors["action"].values[kept]
  )
  last = cached.open_images(("a/b",)).read(np.array([17]))["a/b"][0]
  expected = fake_recording.scene(19, *fake_recording.SIZES["a/b"])
  np.testing.assert_array_equal(last, expected)


# what the check finds


def write(tmp_path, images, vectors):
  path = tmp_path / "shard"
  encodings = {"top": "jpeg"}
  writer = episode_writer.EpisodeWriter(path, 0, encodings, ("vectors/v",))
  flags = dict.fromkeys(("is_first", "is_last", "is_terminal"), False)
  for image, vector in zip(images, vectors, strict=True):
    writer.add({"top": image}, {"vectors/v": vector}, **flags)
  writer.close()
  return path


def check(path, images, vectors):
  caching_check.check(
    path, np.arange(2), {"top": images}, {"vectors/v": vectors}, 90
  )


def test_what_the_check_finds(tmp_path, monkeypatch):
  images = np.stack([fake_recording.scene(x, 128, 160) for x in (0, 1)])
  vectors = np.arange(4, dtype=np.float32).reshape(2, 2)
  path = write(tmp_path, images, vectors)
  check(path, images, vectors)
  for wrong in (images[::-1], images[..., ::-1]):
    with pytest.raises(RuntimeError, match="'top' of frame 0"):
      check(path, wrong, vectors)
  nearly = vectors.copy()
  nearly[1, 1] = np.nextafter(nearly[1, 1], np.float32(9))
  with pytest.raises(RuntimeError, match="'vectors/v' of frame 1"):
    check(path, images, nearly)
  # an encoder that swaps red and blue, always
  encode = image_codec.encode
  monkeypatch.setattr(
    image_codec, "encode", lambda x, *rest: encode(x[..., ::-1].copy(), *rest)
  )
  with pytest.raises(RuntimeError, match="'top' of frame 0"):
    check(write(tmp_path, images, vectors), images, vectors)


@pytest.mark.parametrize("quality", [1, 10, 50, 90, 100])
def test_the_floor_holds_for_any_picture(quality):
  rng = np.random.default_rng(0)
  stripes = (np.arange(160) // 3 % 2 * 255)[None, :, None]
  red_blue = stripes * [1, 0, 0] + (255 - stripes) * [0, 0, 1]
  pictures = (
    rng.integers(0, 256, (128, 160, 3)),
    np.where(rng.random((128, 160, 3)) < 0.1, 0, 255),
    np.broadcast_to(red_blue, (128, 160, 3)),
    fake_recording.scene(0, 128, 160),
  )
  for picture in pictures:
    source = picture.astype(np.uint8)
    decoded = np.empty_like(source)
    data = image_codec.encode(source, "jpeg", quality)
    image_codec.decode(data, "jpeg", decoded)
    assert caching_check.psnr(decoded, source) > caching_check.floor(quality)
  swapped = source[..., ::-1].copy()
  assert caching_check.psnr(swapped, source) < caching_check.floor(quality)


def test_it_needs_a_sound_episode(monkeypatch, tmp_path):
  recording = dataclasses.replace(
    fake_recording.make(tmp_path / "source", broken=12),
    lengths=np.array([20]),
    episodes=np.array([0]),
    tasks=("",),
  )
  fake_recording.install(monkeypatch, recording)
  with pytest.raises(errors.UserError, match="no sound episode"):
    caching.cache("fake", tmp_path / "c", ALONE, base.Options(skip_bad=True))
