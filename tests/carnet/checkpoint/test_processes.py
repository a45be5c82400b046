"""Several processes save one state, and each its own."""

import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import directory, processes, reader

WORKER = pathlib.Path(__file__).with_name("worker.py")


def _run(path, count, tasks):
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
  workers = [
    subprocess.Popen(
      [sys.executable, WORKER, str(index), str(count), str(port), path, tasks],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for index in range(count)
  ]
  try:
    outputs = [worker.communicate(timeout=300)[0] for worker in workers]
  finally:
    for worker in workers:
      worker.kill()
      worker.wait()
  for worker, output in zip(workers, outputs, strict=True):
    assert worker.returncode == 0, output
    assert f"passed {tasks.replace(',', ' ')}" in output


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """What two processes wrote; every assertion of theirs held."""
  path = tmp_path_factory.mktemp("processes")
  (path / "locked").mkdir()
  lock = directory.Lock(path / "locked")
  lock.acquire()
  tasks = ["train", "different", "one_raises", "unlike", "early_mistake"]
  tasks += ["raising_load", "damaged_for_one", "not_shared", "refused"]
  _run(path, 2, ",".join(tasks))
  lock.release()
  return path


def test_two_processes_save_and_resume_one_state_and_their_own(root):
  checkpoint = checkpoint_lib.Checkpoint(root / "shared")
  assert checkpoint.steps() == [4, 5]
  assert not any(checkpoint.verify().values())
  assert not list((root / "shared").glob("*ing"))
  found = directory.read_manifest(root / "shared/000000005")
  assert found.processes == {"data": 2, "envs": 2, "replay": 2}
  attached = checkpoint_lib.read_json(root / "shared", "process.json")
  assert attached == {"index": 0}
  stored = checkpoint_lib.read(root / "shared")
  wide = np.arange(36, dtype=np.float32).reshape(12, 3)
  for _ in range(5):
    wide = wide * 2 + 1
  np.testing.assert_array_equal(stored["agent"]["split"], wide)
  assert stored["agent"]["half"].dtype.name == "bfloat16"
  assert stored["data"] == {
    "process_0_of_2": {"position": 5},
    "process_1_of_2": {"position": 105},
  }
  assert stored["envs"]["process_1_of_2"]["noise"].tolist() == [51.0] * 3
  replay = stored["replay"]["process_1_of_2"]
  values = [int(chunk.arrays["x"][0]) for chunk in replay.chunks]
  assert values == [1000, 1001, 1002, 1003, 1004]


def test_the_leaves_are_those_that_one_process_would_write(root, tmp_path):
  found = directory.read_manifest(root / "shared/000000005")
  again = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
  again.register("agent", checkpoint_lib.read(root / "shared")["agent"])
  again.save(5)
  again.close()
  own = directory.read_manifest(tmp_path / "000000005")
  digests = {leaf.path: leaf.sha256 for leaf in found.leaves}
  for leaf in own.leaves:
    assert digests[leaf.path] == leaf.sha256, leaf.path


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_processes_restores_the_state_and_names_the_rest(
  root, tmp_path, count
):
  subprocess.run(["cp", "-r", root / "shared", tmp_path], check=True)
  (tmp_path / "shared" / directory.LOCK).unlink()
  _run(tmp_path, count, "resume")
  for step in ("000000005", "000000006"):
    assert reader.verify(tmp_path / "shared" / step) == []


def test_one_process_is_named_by_the_component_alone():
  assert processes.Process().within("data") == "data"
  assert processes.Process(1, 2).within("data") == "data/process_1_of_2"
