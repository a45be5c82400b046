"""What is collected, by any number of workers and in spite of kills."""

import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import fake_simulator
import interruptions
import numpy as np
import pytest
import tensorflow_datasets as tfds

from act import demonstrations, statistics, storage
from carnet import errors

content = interruptions.content
wait_until = interruptions.wait_until
COLLECT = pathlib.Path(__file__).parent / "collect_numbers.py"
NUMBERS = demonstrations.Settings("fake/numbers", 6, height=32, width=32)


def collect(directory, settings=NUMBERS, workers=1, **simulator):
  return demonstrations.collect(
    settings, directory, workers, fake_simulator.Simulator(**simulator)
  )


def start(directory, workers, seconds):
  return interruptions.start(COLLECT, directory, 6, workers, seconds)


# what is stored


def test_anyone_reads_it_with_tensorflow_datasets(tiny_dataset):
  source = tfds.builder_from_directory(tiny_dataset).as_data_source("train")
  assert len(source) == 6 * fake_simulator.STEPS
  row = source[3 * fake_simulator.STEPS + 7]
  seed = 1004  # 1003 was rejected
  qpos = fake_simulator.qpos(seed, 7)
  np.testing.assert_array_equal(row["qpos"], qpos)
  np.testing.assert_array_equal(row["qvel"], np.cos(qpos))
  np.testing.assert_array_equal(row["action"], fake_simulator.qpos(seed, 8))
  for camera in ("top", "wrist"):
    np.testing.assert_array_equal(
      row["images"][camera], fake_simulator.image(seed, 7, camera, 32, 32)
    )
  # the reward follows the action: it is that of frame 8
  assert (row["reward"], row["episode_index"], row["frame_index"]) == (2, 3, 7)
  flags = [row[name] for name in ("is_first", "is_last", "is_terminal")]
  assert flags == [False, False, False]
  assert source[0]["is_first"]
  assert source[fake_simulator.STEPS - 1]["is_last"]


def test_jpeg_images_are_read_by_tensorflow_datasets(tiny_jpeg_dataset):
  builder = tfds.builder_from_directory(tiny_jpeg_dataset)
  assert isinstance(builder.info.features["images"]["top"], tfds.features.Image)
  row = builder.as_data_source("train")[3]
  expected = fake_simulator.image(1000, 3, "top", 128, 160)
  difference = np.abs(row["images"]["top"].astype(int) - expected)
  # the ramps wrap around from 255 to 0, where JPEG rings
  assert np.median(difference) <= 2


def test_metadata_tells_how_it_was_made(tiny_dataset):
  metadata = storage.read_metadata(tiny_dataset)
  seeds = [row["seed"] for row in metadata["episodes"]]
  assert seeds == [1000, 1001, 1002, 1004, 1005, 1006]
  assert metadata["rejected_seeds"] == [1003]
  assert metadata["episodes"][3] == {
    "seed": 1004,
    "length": 20,
    "first_frame": 60,
    "highest_reward": 4.0,
    "success": True,
  }
  assert metadata["settings"]["renderer"] == "raycast"
  assert metadata["settings"]["shadows"] is False
  assert metadata["settings"]["msaa_samples"] == 0
  assert metadata["cameras"]["wrist"] == {
    "height": 32,
    "width": 32,
    "encoding": "raw",
  }
  assert metadata["control_hz"] == 50.0
  assert metadata["versions"]["mujoco"].count(".") >= 1


def test_statistics_are_those_of_the_data(tiny_dataset):
  stored = storage.read_metadata(tiny_dataset)["statistics"]
  seeds = [1000, 1001, 1002, 1004, 1005, 1006]
  frames = [(s, t) for s in seeds for t in range(fake_simulator.STEPS)]
  qpos = np.stack([fake_simulator.qpos(*frame) for frame in frames])
  assert stored["qpos"] == statistics.of_vectors(qpos)
  pixels = np.stack(
    [fake_simulator.image(s, t, "top", 32, 32) for s in seeds for t in (0, 10)]
  )
  pixels = pixels.reshape(-1, 3) / 255.0
  np.testing.assert_allclose(stored["images/top"]["mean"], pixels.mean(0))
  np.testing.assert_allclose(stored["images/top"]["std"], pixels.std(0))


def test_verify_finds_a_flipped_byte_and_opening_a_truncated_shard(tmp_path):
  root = collect(tmp_path / "data")
  storage.verify(root)
  shard = root / storage.shard_name("fake/numbers", 2, 6)
  data = bytearray(shard.read_bytes())
  data[len(data) // 3] ^= 1
  shard.write_bytes(data)
  with pytest.raises(errors.UserError, match=f"{shard.name}: altered"):
    storage.verify(root)
  shard.write_bytes(data[:-1])
  with pytest.raises(errors.UserError, match=f"{shard.name}.*truncated"):
    storage.read_metadata(root)
  shard.unlink()
  with pytest.raises(errors.UserError, match=f"{shard.name}: missing"):
    storage.read_metadata(root)


# how it is collected


def test_more_workers_write_the_same_bytes(tmp_path):
  alone = collect(tmp_path / "alone")
  assert not list(alone.glob(".*"))
  assert content(collect(tmp_path / "two", workers=2)) == content(alone)


def test_workers_do_not_import_what_the_script_imports(tmp_path):
  script = tmp_path / "script.py"
  folder = f"sys.path.insert(0, {str(COLLECT.parent)!r})"
  script.write_text(
    "import sys\n"
    f"{folder}\n"
    "import jax\n"  # a worker that imported this would say so
    "import fake_simulator\n"
    "from act import demonstrations\n"
    "if __name__ == '__main__':\n"
    "  demonstrations.collect(\n"
    "    demonstrations.Settings('fake/numbers', 2, height=32, width=32),\n"
    f"    {str(tmp_path / 'data')!r}, 2, fake_simulator.Simulator())\n"
  )
  result = subprocess.run(
    [sys.executable, script], capture_output=True, text=True
  )
  assert result.returncode == 0, result.stderr
  assert result.stderr == ""


def test_a_finished_collection_returns_at_once(tmp_path):
  root = collect(tmp_path / "data")
  before = content(root)
  start = time.monotonic()
  collect(root, workers=2)
  assert time.monotonic() - start < 0.3  # no process was started
  assert content(root) == before


@pytest.mark.parametrize(
  ("workers", "kills"),
  [
    ("1", [1]),
    ("2", [0, 3]),
    pytest.param("1", [0, 0, 1, 2, 3, 4, 5, 5] * 3, marks=pytest.mark.slow),
    pytest.param("2", [0, 0, 1, 2, 3, 4, 5, 5] * 3, marks=pytest.mark.slow),
  ],
)
def test_killed_at_any_moment_it_ends_with_the_same_bytes(
  tmp_path, workers, kills
):
  """Kills shortly after so many episodes are there, then finishes."""
  expected = content(collect(tmp_path / "expected"))
  root = tmp_path / "killed"
  rng = random.Random(int(workers))
  kept = {}
  for done in kills:
    process = start(root, workers, 0.01)
    wait_until(
      lambda done=done, process=process: (
        len(list(root.glob("fake*"))) >= done or process.poll() is not None
      )
    )
    time.sleep(rng.uniform(0, 0.2))
    process.kill()
    process.communicate()
    wait_until(lambda group=process.pid: not interruptions.alive(group))
    for name, modified in kept.items():  # finished work is not done again
      assert (root / name).stat().st_mtime_ns == modified
    facts = root / ".collecting"
    kept = {
      path.name: path.stat().st_mtime_ns
      for path in root.glob("fake*")
      if (facts / f"episode-{path.name[-14:-9]}.npz").exists()
    }
  assert content(collect(root)) == expected


@pytest.mark.parametrize(
  ("number", "code", "told"),
  [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "SIGTERM: finished episodes are kept"),
  ],
)
def test_a_signal_ends_it_soon_without_a_trace_and_it_goes_on(
  tmp_path, number, code, told
):
  expected = content(collect(tmp_path / "expected"))
  root = tmp_path / "data"
  process = start(root, "2", 0.02)
  wait_until(lambda: list(root.glob("fake*")))
  os.killpg(process.pid, number)
  _, message = process.communicate(timeout=10)
  assert process.returncode == code
  assert message == f"{told}; run the same command again to go on\n"
  if number == signal.SIGINT:  # workers that SIGTERM ends leave theirs
    assert not list(root.rglob("*.tmp"))
  wait_until(lambda: not interruptions.alive(process.pid))
  assert content(collect(root)) == expected


def test_two_collections_in_one_directory_are_refused(tmp_path):
  root = tmp_path / "data"
  process = start(root, "1", 0.05)
  wait_until(lambda: list(root.glob("fake*")))
  with pytest.raises(errors.UserError, match="another run is writing"):
    collect(root)
  process.kill()
  process.communicate()


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_by_name(tmp_path, finished):
  root = tmp_path / "data"
  if finished:
    collect(root)
  else:
    process = start(root, "1", 0.05)
    wait_until(lambda: list(root.glob("fake*")))
    process.kill()
    process.communicate()
  other = dataclasses.replace(NUMBERS, width=33)
  with pytest.raises(errors.UserError, match="width is 32 there, 33 was asked"):
    collect(root, other)


def test_an_unrelated_directory_is_left_alone(tmp_path):
  (tmp_path / "thesis.txt").write_text("years of work")
  with pytest.raises(errors.UserError, match="not empty"):
    collect(tmp_path)
  assert content(tmp_path) == {"thesis.txt": b"years of work"}


def test_an_expert_that_always_fails_is_reported(tmp_path):
  with pytest.raises(errors.UserError, match="failed on 30 of 30 seeds"):
    demonstrations.collect(
      NUMBERS, tmp_path / "data", 1, fake_simulator.Hopeless()
    )


def test_a_dead_worker_is_reported(tmp_path):
  with pytest.raises(errors.UserError, match="a worker died"):
    demonstrations.collect(
      NUMBERS, tmp_path / "data", 2, fake_simulator.Dying()
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_shows_before_anything_is_written(tmp_path, workers):
  with pytest.raises(errors.UserError, match="did you mean 'top'"):
    demonstrations.collect(
      NUMBERS, tmp_path / "data", workers, fake_simulator.Lost()
    )
  assert not (tmp_path / "data").exists()


# a full disk


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, workers):
  expected = content(collect(tmp_path / "expected"))
  root = tmp_path / "data"
  interruptions.assert_fills_the_disk(64, COLLECT, root, 6, workers, 0)
  assert not list(root.glob("*fake*"))
  assert not list(root.rglob("*.tmp"))
  assert content(collect(root)) == expected


def test_no_space_left_is_a_user_error(tmp_path):
  def write():
    with storage.atomic(tmp_path / "file") as temporary:
      temporary.write_text("half")
      pathlib.Path("/dev/full").write_text("x")

  with pytest.raises(errors.UserError, match="No space left on device while"):
    write()
  assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_made(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(errors.UserError, match=r"cannot create '.*Not a dir"):
    collect(tmp_path / "file" / "data")
  with pytest.raises(errors.UserError, match="is a file, not a directory"):
    collect(tmp_path / "file")
  with pytest.raises(errors.UserError, match=r"cannot create .*too long"):
    collect(tmp_path / ("x" * 300))
  (tmp_path / "link").symlink_to(tmp_path / "gone")
  with pytest.raises(errors.UserError, match="a link that leads nowhere"):
    collect(tmp_path / "link")


def test_a_step_limit_below_the_experts_is_refused(tmp_path):
  settings = dataclasses.replace(NUMBERS, max_steps=19)
  with pytest.raises(errors.UserError, match="--max_steps=19 cuts the 20"):
    collect(tmp_path / "data", settings)
  assert not list((tmp_path / "data").glob("*fake*"))


@pytest.mark.parametrize("change", [{"episodes": 0}, {"width": 0}])
def test_numbers_below_one_are_refused(tmp_path, change):
  settings = dataclasses.replace(NUMBERS, **change)
  with pytest.raises(errors.UserError, match="at least 1"):
    collect(tmp_path / "data", settings)
  with pytest.raises(errors.UserError, match="--cameras is empty"):
    collect(tmp_path / "data", dataclasses.replace(NUMBERS, cameras=()))


def test_metadata_that_is_damaged_is_refused(tmp_path):
  root = collect(tmp_path / "data")
  path = root / storage.METADATA_FILE
  good = json.loads(path.read_text())
  path.write_text(path.read_text()[:-20])
  with pytest.raises(errors.UserError, match=r"metadata\.json: unreadable"):
    storage.read_metadata(root)
  path.write_text(json.dumps(good | {"format_version": 9}))
  with pytest.raises(errors.UserError, match="format 9, this version reads 1"):
    storage.read_metadata(root)
  path.write_text(json.dumps(good | {"files": None}))
  with pytest.raises(errors.UserError, match="damaged"):
    storage.read_metadata(root)
