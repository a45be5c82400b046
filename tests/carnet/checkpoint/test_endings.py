"""However a program ends or is misused, what it saved is there and exact."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import directory, plan, pruning, store


def _open(path, keep=None, **components):
  checkpoint = checkpoint_lib.Checkpoint(path, keep, verbose=False)
  handles = {
    name: checkpoint.register(name, component)
    for name, component in (components or {"agent": np.zeros(3)}).items()
  }
  return checkpoint, handles


@pytest.mark.parametrize("ending", ["", "1 / 0", "sys.exit(3)"])
def test_a_program_that_ends_without_close_has_saved(tmp_path, ending):
  program = (
    "import sys\n"
    "import numpy as np\n"
    "from carnet import checkpoint\n"
    "saved = checkpoint.Checkpoint(sys.argv[1])\n"
    "saved.register('agent', np.arange(1_000_000))\n"
    f"saved.save(1)\n{ending}\n"
  )
  arguments = [sys.executable, "-c", program, str(tmp_path)]
  done = subprocess.run(arguments, capture_output=True, text=True)
  assert "shutdown" not in done.stderr
  assert done.returncode == {"": 0, "1 / 0": 1, "sys.exit(3)": 3}[ending]
  assert checkpoint_lib.Checkpoint(tmp_path).verify() == {1: []}


def test_ctrl_c_while_a_save_is_waited_for_loses_nothing(tmp_path, monkeypatch):
  go_on, write = threading.Event(), store.write

  def delayed(*arguments):
    assert go_on.wait(60)
    write(*arguments)

  monkeypatch.setattr(store, "write", delayed)
  checkpoint, _ = _open(tmp_path)
  checkpoint.save(1)
  ctrl_c = (os.getpid(), signal.SIGINT)
  threading.Timer(0.3, os.kill, ctrl_c).start()
  with pytest.raises(KeyboardInterrupt):
    checkpoint.wait()
  threading.Timer(0.3, go_on.set).start()
  checkpoint.close()
  assert checkpoint_lib.Checkpoint(tmp_path).verify() == {1: []}
  assert not list(tmp_path.glob("*.writing"))
  other, _ = _open(tmp_path)
  assert other.load_or_save() == 1
  other.close()


def test_a_failure_to_delete_old_steps_is_no_failed_save(
  tmp_path, monkeypatch, caplog
):
  checkpoint, _ = _open(tmp_path, checkpoint_lib.Retention(latest=1))
  with monkeypatch.context() as patch:

    def fail(*arguments):
      raise OSError("no permission")

    patch.setattr(pruning, "prune", fail)
    checkpoint.save(1)
    checkpoint.save(2)
    checkpoint.wait()
  assert "could not delete old steps" in caplog.text
  assert checkpoint.steps() == [1, 2]
  checkpoint.save(3)
  checkpoint.close()
  assert checkpoint.steps() == [3]


def test_the_lock_comes_back_after_a_copy_of_the_directory(tmp_path):
  checkpoint, _ = _open(tmp_path / "run")
  checkpoint.save(1)
  checkpoint.wait()
  shutil.copytree(tmp_path / "run", tmp_path / "copy")  # closes .lock
  checkpoint.save(2)
  checkpoint.wait()
  program = (
    "import sys\n"
    "from carnet import checkpoint\n"
    "saved = checkpoint.Checkpoint(sys.argv[1])\n"
    "saved.register('agent', {'n': 1})\n"
    "saved.save(9)\n"
  )
  arguments = [sys.executable, "-c", program, str(tmp_path / "run")]
  refused = subprocess.run(arguments, capture_output=True, text=True)
  assert "is being written by" in refused.stderr
  checkpoint.close()


def test_a_writer_that_lost_its_lock_to_another_stops(tmp_path):
  checkpoint, _ = _open(tmp_path)
  checkpoint.save(1)
  checkpoint.wait()
  (tmp_path / directory.LOCK).read_text()  # closes it
  program = (
    "import sys, time\n"
    "from carnet import checkpoint\n"
    "saved = checkpoint.Checkpoint(sys.argv[1])\n"
    "saved.register('agent', {'n': 1})\n"
    "saved.save(9)\n"
    "saved.wait()\n"
    "print('writes', flush=True)\n"
    "time.sleep(60)\n"
  )
  other = subprocess.Popen(
    [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
  )
  try:
    assert other.stdout.readline() == b"writes\n"
    with pytest.raises(errors.UserError, match="being written by another"):
      checkpoint.save(10)
  finally:
    other.send_signal(signal.SIGKILL)
    other.communicate()
  assert checkpoint.steps() == [1, 9]


class Stubborn:
  """Does not take the state it gave."""

  def state(self):
    return {"n": 1}

  def load_state(self, state):
    raise RuntimeError("never")


def test_a_load_that_fails_half_way_takes_everything_back(tmp_path):
  checkpoint, handles = _open(tmp_path, agent=np.ones(3), envs=Stubborn())
  checkpoint.save(1)
  checkpoint.wait()
  handles["agent"].value = np.full(3, 5.0)
  with pytest.raises(RuntimeError, match="never"):
    checkpoint.load()
  assert handles["agent"].value.tolist() == [5, 5, 5]
  checkpoint.close()


def test_a_component_registered_after_the_load_is_not_taken_for_saved(tmp_path):
  checkpoint, _ = _open(tmp_path)
  checkpoint.save(1)
  checkpoint.wait()
  checkpoint.register("late", {"n": 1})
  with pytest.raises(errors.UserError, match="already holds step 1"):
    checkpoint.save(1)
  checkpoint.save(2)
  checkpoint.close()
  assert set(checkpoint_lib.read(tmp_path)) == {"agent", "late"}


def test_components_are_named_as_they_are_called_here(tmp_path):
  checkpoint, _ = _open(tmp_path / "old", model={"w": np.ones(2)})
  checkpoint.save(1)
  checkpoint.close()
  checkpoint, handles = _open(tmp_path / "new", agent={"w": np.zeros(2)})
  found = checkpoint.load(
    tmp_path / "old", components=["agent"], rename={"model/(.*)": r"agent/\1"}
  )
  assert found.paths(plan.RESTORED) == ["agent/w"]
  assert handles["agent"].value["w"].tolist() == [1, 1]


@pytest.mark.parametrize(
  ("options", "named"),
  [
    ({"components": "agent"}, "give a list of names"),
    ({"components": []}, "give a list of names"),
    ({"components": ["agnet"]}, "did you mean 'agent'"),
    ({"exclude": ".*", "strict": False}, "nothing that fits"),
  ],
)
def test_arguments_that_cannot_be_meant_are_refused(tmp_path, options, named):
  checkpoint, _ = _open(tmp_path)
  checkpoint.save(1)
  with pytest.raises(errors.UserError, match=named):
    checkpoint.load(**options)
  checkpoint.close()


@pytest.mark.parametrize("step", [10**15, 2**70, -1])
def test_steps_have_a_sane_size(tmp_path, step):
  checkpoint, _ = _open(tmp_path)
  with pytest.raises(errors.UserError, match="step"):
    checkpoint.save(step)
  checkpoint.save(10**15 - 1)
  checkpoint.close()
  other, _ = _open(tmp_path)
  assert other.load_or_save() == 10**15 - 1
  other.close()


def test_a_workdir_in_the_place_of_its_checkpoints_is_pointed_out(tmp_path):
  checkpoint, _ = _open(tmp_path / "checkpoints")
  checkpoint.save(1)
  checkpoint.close()
  other, _ = _open(tmp_path)
  for call in (other.load, other.load_or_save):
    with pytest.raises(errors.UserError, match=r"did you mean .*/checkpoints"):
      call()
  other.close()


def test_steps_that_a_person_deleted_can_be_saved_again(tmp_path):
  checkpoint, handles = _open(tmp_path)
  for step in (1, 2):
    checkpoint.save(step)
  checkpoint.wait()
  shutil.rmtree(tmp_path / "000000002")
  handles["agent"].value = np.ones(3)
  checkpoint.save(2)
  checkpoint.close()
  assert checkpoint.verify() == {1: [], 2: []}


def test_a_directory_that_vanished_is_said(tmp_path):
  checkpoint, _ = _open(tmp_path / "run")
  checkpoint.save(1)
  checkpoint.wait()
  shutil.rmtree(tmp_path / "run")
  checkpoint.save(2)
  deadline = time.monotonic() + 60
  with pytest.raises(checkpoint_lib.SaveError, match="directory is gone"):
    checkpoint.close()
  assert time.monotonic() < deadline


def test_a_handle_that_nobody_updates_is_pointed_out_once(tmp_path, caplog):
  stale, fresh = {"w": jnp.zeros(3)}, {"w": jnp.zeros(3)}
  checkpoint, handles = _open(tmp_path, stale=stale, fresh=fresh)
  for step in range(4):
    checkpoint.save(step)
    handles["fresh"].value = {"w": jnp.full(3, float(step))}
  checkpoint.close()
  (message,) = (record.getMessage() for record in caplog.records)
  assert "component 'stale' has the very arrays" in message
