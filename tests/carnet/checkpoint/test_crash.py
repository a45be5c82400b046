"""A kill at any moment costs nothing that was saved."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import directory, reader, store

KEEP = checkpoint_lib.Retention(latest=2)


def _open(path):
  checkpoint = checkpoint_lib.Checkpoint(path, KEEP, verbose=False)
  return checkpoint, checkpoint.register("agent", np.zeros(3000, np.uint32))


def test_every_moment_of_a_save_leaves_the_old_steps_or_the_new(
  tmp_path, monkeypatch
):
  """Copies the directory before and after each of a save's operations."""
  run, copies = tmp_path / "run", tmp_path / "copies"
  checkpoint, agent = _open(run)
  for step in (1, 2):
    agent.value = np.full(3000, step, np.uint32)
    checkpoint.save(step)
  checkpoint.wait()
  moments = []

  def watch(module, name):
    original = getattr(module, name)

    def watched(*args, **options):
      _copy(f"before {name}")
      result = original(*args, **options)
      _copy(f"after {name}")
      return result

    monkeypatch.setattr(module, name, watched)

  def _copy(moment):
    shutil.copytree(run, copies / f"{len(moments):03d}")
    moments.append(moment)

  def remove_slowly(path, ignore_errors):
    del ignore_errors
    for parent, _, names in os.walk(path):
      for name in names:
        _copy("removing")
        os.unlink(os.path.join(parent, name))
    rmtree(path)

  rmtree = shutil.rmtree
  monkeypatch.setattr(shutil, "rmtree", remove_slowly)
  for module, name in (
    (os, "rename"),
    (os, "fsync"),
    (store, "write"),
    (directory, "publish"),
    (directory, "remove"),
  ):
    watch(module, name)
  agent.value = np.full(3000, 3, np.uint32)
  checkpoint.save(3)
  checkpoint.wait()
  checkpoint.close()
  monkeypatch.undo()

  assert len(moments) > 30
  seen = []
  for number, moment in enumerate(moments):
    path = copies / f"{number:03d}"
    checkpoint, agent = _open(path)
    steps = checkpoint.steps()
    seen.append(steps)
    assert steps in ([1, 2], [1, 2, 3], [2, 3]), moment
    assert all(not reader.verify(path / f"{s:09d}") for s in steps), moment
    if number % 4:
      continue
    assert checkpoint.load_or_save() == steps[-1]
    assert checkpoint.skipped == {}
    assert set(agent.value) == {steps[-1]}
    checkpoint.save(9)
    checkpoint.close()
    names = sorted(directory.foreign(path))
    assert names == [f"{steps[-1]:09d}", "000000009"], moment
    assert not list(path.glob("*ing")), moment
  assert seen[0] == [1, 2]
  assert seen[-1] == [2, 3]
  assert seen == sorted(seen, key=lambda steps: (steps[-1], -len(steps)))


PROGRAM = """
import sys
import numpy as np
from carnet import checkpoint
keep = checkpoint.Retention(latest=2)
with checkpoint.Checkpoint(sys.argv[1], keep, verbose=False) as saved:
  agent = saved.register("agent", np.arange(3000, dtype=np.uint32))
  start = saved.load_or_save()
  for step in range(start, int(sys.argv[2])):
    agent.value = agent.value * np.uint32(1664525) + np.uint32(1013904223)
    saved.save(step + 1)
"""


@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_a_killed_program_resumes_and_ends_the_same(tmp_path, kills):
  generator = random.Random(kills)
  steps = 12 + 5 * kills
  killed, newest = 0, 0
  while killed < kills:
    program = _start(tmp_path, steps)
    while _newest(tmp_path) <= newest and program.poll() is None:
      time.sleep(0.005)
    time.sleep(generator.uniform(0, 0.2))
    program.send_signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL, "it ended before the kill"
    killed += 1
    newest = _newest(tmp_path)
    faults = checkpoint_lib.Checkpoint(tmp_path).verify()
    assert not any(faults.values()), faults
  assert _start(tmp_path, steps).wait() == 0
  expected = np.arange(3000, dtype=np.uint32)
  for _ in range(steps):
    expected = expected * np.uint32(1664525) + np.uint32(1013904223)
  assert _newest(tmp_path) == steps
  stored = checkpoint_lib.read(tmp_path)["agent"]
  np.testing.assert_array_equal(stored, expected)
  assert directory.foreign(tmp_path) == [f"{steps - 1:09d}", f"{steps:09d}"]


def _start(path, steps):
  arguments = [sys.executable, "-c", PROGRAM, str(path), str(steps)]
  return subprocess.Popen(arguments)


def _newest(path):
  return checkpoint_lib.Checkpoint(path).latest() or 0
