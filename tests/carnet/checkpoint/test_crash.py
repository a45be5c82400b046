"""A kill at any moment costs nothing that was saved: the moments of a save."""

import os
import shutil
import threading

import numpy as np

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

  one_at_a_time = threading.Lock()  # files are synchronized in threads

  def _copy(moment):
    with one_at_a_time:
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
