"""Saving: in the background, by one writer, and never failing in silence."""

import contextlib
import functools
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import directory, store


def _open(path, value=0.0):
  checkpoint = checkpoint_lib.Checkpoint(path, verbose=False)
  return checkpoint, checkpoint.register("agent", {"w": jnp.full(4, value)})


def _delay(monkeypatch, until):
  write = store.write

  def delayed(*args):
    assert until.wait(30)
    write(*args)

  monkeypatch.setattr(store, "write", delayed)


def test_what_training_does_next_does_not_leak(tmp_path, monkeypatch):
  """Donates the JAX arrays and overwrites the numpy ones during the save."""
  go_on = threading.Event()
  _delay(monkeypatch, go_on)
  step = functools.partial(jax.jit, donate_argnums=0)(
    lambda state: jax.tree.map(lambda x: x + 1, state)
  )
  checkpoint = checkpoint_lib.Checkpoint(tmp_path)
  agent = checkpoint.register("agent", {"w": jnp.arange(1e5)})
  buffer = checkpoint.register("buffer", {"x": np.arange(5)})
  started = time.monotonic()
  checkpoint.save(1)
  assert time.monotonic() - started < 10  # it waits for nothing
  for _ in range(3):
    agent.value = step(agent.value)
    buffer.value["x"][:] += 1
  go_on.set()
  checkpoint.close()
  stored = checkpoint_lib.read(tmp_path)
  np.testing.assert_array_equal(stored["agent"]["w"], np.arange(1e5))
  np.testing.assert_array_equal(stored["buffer"]["x"], np.arange(5))


def test_a_donated_leaf_is_named(tmp_path):
  checkpoint, agent = _open(tmp_path)
  step = jax.jit(lambda s: {"w": s["w"] + 1}, donate_argnums=0)
  step(agent.value)
  with pytest.raises(errors.UserError, match="agent/w was donated"):
    checkpoint.save(1)


def _fail(monkeypatch, error):
  def fail(*args):
    raise error

  monkeypatch.setattr(store, "write", fail)


@pytest.mark.parametrize("call", ["save", "wait", "load", "load_or_save"])
def test_a_failure_surfaces_at_the_next_call(tmp_path, monkeypatch, call):
  checkpoint, agent = _open(tmp_path, 1.0)
  checkpoint.save(1)
  checkpoint.wait()
  with monkeypatch.context() as patch:
    _fail(patch, OSError(28, "No space left on device", "/full/disk"))
    checkpoint.save(2)
    with pytest.raises(checkpoint_lib.SaveError, match=r"step 2 .*no space"):
      getattr(checkpoint, call)(*[3] if call == "save" else [])
  assert checkpoint.steps() == [1]
  assert directory.foreign(tmp_path) == ["000000001"]
  agent.value = {"w": jnp.full(4, 2.0)}
  checkpoint.save(2)  # the same step may be tried again
  checkpoint.close()
  assert checkpoint.verify() == {1: [], 2: []}
  assert checkpoint_lib.read(tmp_path)["agent"]["w"][0] == 2.0


def test_a_failure_surfaces_at_the_end_beside_another_error(
  tmp_path, monkeypatch
):
  _fail(monkeypatch, OSError("the disk is gone"))
  checkpoint, _ = _open(tmp_path)
  with (
    pytest.raises(checkpoint_lib.SaveError, match="disk is gone"),
    checkpoint,
  ):
    checkpoint.save(1)
  checkpoint, _ = _open(tmp_path)
  with pytest.raises(ZeroDivisionError) as caught, checkpoint:  # noqa: PT012
    checkpoint.save(1)
    raise ZeroDivisionError
  assert "disk is gone" in caught.value.__notes__[0]


def test_a_component_that_raises_stops_the_save_before_it_begins(tmp_path):
  class Broken:
    def state(self):
      raise RuntimeError("no state today")

    def load_state(self, state):
      del state

  checkpoint, _ = _open(tmp_path)
  checkpoint.register("broken", Broken())
  with pytest.raises(RuntimeError, match="no state today"):
    checkpoint.save(1)
  assert directory.foreign(tmp_path) == []


def test_the_same_step_is_saved_once_and_an_older_one_never(tmp_path):
  checkpoint, agent = _open(tmp_path)
  assert checkpoint.save(np.int64(5))
  assert not checkpoint.save(5)
  with pytest.raises(errors.UserError, match="already holds step 5"):
    checkpoint.save(4)
  checkpoint.close()
  checkpoint, agent = _open(tmp_path, 3.0)
  with pytest.raises(errors.UserError, match="already holds step 5"):
    checkpoint.save(5)
  assert checkpoint.load_or_save() == 5
  assert agent.value["w"][0] == 0.0
  assert not checkpoint.save(5)
  with pytest.raises(errors.UserError, match="cannot save step -1"):
    checkpoint.save(-1)
  checkpoint.close()


def test_a_clock_that_goes_backwards_changes_no_order(tmp_path, monkeypatch):
  keep = checkpoint_lib.Retention(latest=2)
  with checkpoint_lib.Checkpoint(tmp_path, keep) as checkpoint:
    checkpoint.register("step", 0)
    for step, seconds in enumerate((3e9, 2e9, 1e9)):
      monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
      checkpoint.save(step)
      checkpoint.wait()
      os.utime(tmp_path / f"{step:09d}", (seconds, seconds))
    assert checkpoint.latest() == 2
  assert checkpoint.steps() == [1, 2]


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path):
  first, _ = _open(tmp_path)
  second, _ = _open(tmp_path)
  first.load_or_save()
  first.wait()
  for call in (second.load_or_save, lambda: second.save(9)):
    with pytest.raises(errors.UserError, match="is being written by this"):
      call()
  assert second.load().step == 0  # a reader needs no lock
  first.close()
  assert second.load_or_save() == 0
  second.close()


def test_a_writer_in_another_process_is_refused(tmp_path):
  program = (
    "import pathlib, sys\n"
    "from carnet import errors\n"
    "from carnet.checkpoint import directory\n"
    "try:\n"
    "  directory.Lock(pathlib.Path(sys.argv[1])).acquire()\n"
    "except errors.UserError as error:\n"
    "  sys.exit(str(error))\n"
  )
  arguments = [sys.executable, "-c", program, str(tmp_path)]
  checkpoint, _ = _open(tmp_path)
  checkpoint.save(1)
  refused = subprocess.run(arguments, capture_output=True, text=True)
  checkpoint.close()
  assert f"written by process {os.getpid()} on" in refused.stderr
  allowed = subprocess.run(arguments, capture_output=True, text=True)
  assert (allowed.returncode, allowed.stderr) == (0, "")


def test_a_forgotten_checkpoint_lets_go_once_it_has_written(
  tmp_path, monkeypatch
):
  go_on = threading.Event()
  _delay(monkeypatch, go_on)
  checkpoint, _ = _open(tmp_path)
  checkpoint.save(1)
  (writer,) = (t for t in threading.enumerate() if t.name == "save step 1")
  del checkpoint
  other, _ = _open(tmp_path)
  with pytest.raises(errors.UserError, match="is being written by this"):
    other.load_or_save()
  go_on.set()
  while other.latest() is None:
    time.sleep(0.01)
  writer.join()
  assert other.load_or_save() == 1
  other.close()


def test_a_read_only_directory_can_be_read_and_is_named():
  # pytest's own directories are closed to the user that root becomes here
  with tempfile.TemporaryDirectory() as place:
    checkpoint, _ = _open(place, 1.0)
    checkpoint.save(1)
    checkpoint.close()
    os.unlink(f"{place}/.lock")
    os.chmod(place, 0o555)
    with _nobody():
      assert checkpoint.load().step == 1
      with pytest.raises(errors.UserError) as caught:
        checkpoint.save(2)
    os.chmod(place, 0o755)
  assert f"cannot write checkpoints to {place}: Permission" in str(caught.value)


@contextlib.contextmanager
def _nobody():
  """Gives up the right to write everywhere, if the tests run as root."""
  user = os.geteuid()
  if user == 0:
    os.seteuid(65534)
  try:
    yield
  finally:
    os.seteuid(user)


def test_a_full_disk_costs_no_step(tmp_path):
  """A limit on the size of files stands for the disk."""
  checkpoint = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
  agent = checkpoint.register("agent", np.zeros(1000, np.uint8))
  checkpoint.save(1)
  checkpoint.wait()
  agent.value = np.random.default_rng(0).integers(0, 255, 1 << 20, np.uint8)
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, limits[1]))
  try:
    checkpoint.save(2)
    with pytest.raises(
      checkpoint_lib.SaveError, match=r"step 2 .*File too large"
    ):
      checkpoint.wait()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert directory.foreign(tmp_path) == ["000000001"]
  assert not list(tmp_path.glob("*.writing"))  # the space is free again
  checkpoint.save(2)
  checkpoint.close()
  assert checkpoint.verify() == {1: [], 2: []}


@pytest.mark.parametrize("kind", ["empty", "file", "foreign", "other step"])
def test_what_is_only_named_like_a_step_is_passed_over(tmp_path, kind):
  checkpoint, _ = _open(tmp_path, 1.0)
  checkpoint.save(1)
  checkpoint.close()
  pretender = tmp_path / "000000002"
  if kind == "file":
    pretender.write_text("not a directory")
  else:
    pretender.mkdir()
  if kind == "foreign":
    (pretender / "notes.txt").write_text("mine")
  if kind == "other step":
    pretender.rmdir()
    (tmp_path / "000000001").rename(pretender)
    checkpoint, _ = _open(tmp_path, 1.0)
    checkpoint.save(1)
    checkpoint.close()
  checkpoint, agent = _open(tmp_path)
  assert checkpoint.steps() == [1]
  assert checkpoint.load_or_save() == 1
  assert "000000002" in checkpoint.skipped["000000002"]
  assert agent.value["w"][0] == 1.0
  checkpoint.save(2)
  checkpoint.close()
  assert checkpoint.steps() == [1, 2]
  (aside,) = tmp_path.glob("000000002.*.unsound")
  if kind == "foreign":
    assert (aside / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["000000003", "notes.txt", "latest"])
def test_training_never_starts_over_what_it_cannot_use(tmp_path, name):
  (tmp_path / name).mkdir()
  checkpoint, _ = _open(tmp_path)
  with pytest.raises(errors.UserError, match=rf"holds {name} but no sound"):
    checkpoint.load_or_save()
  assert checkpoint.load_or_save(step=1, start_over=True) == 1
  checkpoint.close()
  assert checkpoint.steps() == [1]
  assert len(list(tmp_path.glob(f"{name}*"))) == 1
