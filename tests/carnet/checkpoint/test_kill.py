"""A kill at any moment costs nothing that was saved.

Run as a program, this file is the training that the tests kill.
"""

import contextlib
import functools
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import directory

KEEP = checkpoint_lib.Retention(latest=2)
OPTIMIZER = optax.adam(1e-3)
CHANGES = (
  *("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir"),
  *("os.symlink", "os.truncate", "shutil.rmtree"),
)


def _init_state():
  params = {"w": jnp.ones((64, 1024)), "b": jnp.zeros(1024)}
  state = {"params": params, "optimizer": OPTIMIZER.init(params)}
  return state | {"key": jax.random.key(0)}


@functools.partial(jax.jit, donate_argnums=0)
def _train_step(state, batch):
  key, noise = jax.random.split(state["key"])
  x = jnp.sin(batch.astype(jnp.float32))[:, None] + jax.random.normal(
    noise, (4, 64)
  )

  def loss(params):
    return jnp.mean((x @ params["w"] + params["b"][None] - 1.0) ** 2)

  value, grads = jax.value_and_grad(loss)(state["params"])
  with jax.numpy_dtype_promotion("standard"):  # optax needs it
    updates, optimizer = OPTIMIZER.update(grads, state["optimizer"])
  params = optax.apply_updates(state["params"], updates)
  return {"params": params, "optimizer": optimizer, "key": key}, value


def _batches():
  samples = grain.MapDataset.range(97).shuffle(0).repeat()
  return iter(samples.batch(4).to_iter_dataset())


def _train(path, total_steps, die_at_change=0):
  """Saves every step, with all the samples that were drawn until then."""
  data = _batches()
  with checkpoint_lib.Checkpoint(path, KEEP, verbose=False) as checkpoint:
    agent = checkpoint.register("agent", _init_state())
    checkpoint.register("data", data)
    drawn = checkpoint.register("drawn", {"samples": []})
    start = checkpoint.load_or_save()
    checkpoint.wait()
    if die_at_change:
      _kill_at(die_at_change)
    for step in range(start, total_steps):
      batch = next(data)
      drawn.value = {"samples": drawn.value["samples"] + batch.tolist()}
      agent.value, loss = _train_step(agent.value, jnp.asarray(batch))
      checkpoint.save(step + 1, {"loss": loss})


def _kill_at(number):
  """Kills this process just before it changes the disk for that time."""
  changes = itertools.count(1)
  writing = os.O_WRONLY | os.O_RDWR

  def watch(event, arguments):
    opened = event == "open" and arguments[2] & writing
    if (opened or event in CHANGES) and next(changes) == number:
      os.kill(os.getpid(), signal.SIGKILL)

  sys.addaudithook(watch)


def _say(line):
  os.write(1, f"{line}\n".encode())


def _serve():
  """Starts a training process for each line read; imports happen once.

  A line is: directory, steps in all, and the change of the disk to die at.
  """
  for line in sys.stdin:
    path, total_steps, change = line.rsplit(maxsplit=2)
    process = os.fork()
    if process:
      _say(f"started {process}")
      status = os.waitpid(process, 0)[1]
      _say(f"ended {os.waitstatus_to_exitcode(status)}")
      continue
    try:
      _train(path, int(total_steps), int(change))
      os._exit(0)
    except BaseException:
      traceback.print_exc()
      os._exit(1)


class Server:
  """Training processes whose imports were done before they started."""

  def __init__(self, environment):
    self._environment = environment
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    self._process = self.run(**pipes)

  def run(self, *arguments, **options):
    """Runs this file by itself, imports and all."""
    command = [sys.executable, "-W", "ignore", __file__, *arguments]
    return subprocess.Popen(command, env=self._environment, **options)

  def start(self, path, total_steps, change=0):
    """Returns the process number once the process runs."""
    self._process.stdin.write(f"{path} {total_steps} {change}\n")
    self._process.stdin.flush()
    said, number = self._process.stdout.readline().split()
    assert said == "started"
    return int(number)

  def ended(self):
    """Returns the exit code of the process started last."""
    said, code = self._process.stdout.readline().split()
    assert said == "ended"
    return int(code)

  def close(self):
    """Lets the server end."""
    self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
  """Has compiled everything once: a kill must not hit the cache of JAX."""
  place = tmp_path_factory.mktemp("server")
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(place / "cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
  }
  server = Server(environment)
  with contextlib.closing(server):
    for total_steps in (1, 2):
      server.start(place / "run", total_steps)
      assert server.ended() == 0
    yield server


def test_a_run_killed_at_fifty_moments_ends_like_one_that_was_not(
  tmp_path, server
):
  """A few moments are in the start-up, most in a save that is under way."""
  run = tmp_path / "run"
  generator = random.Random(0)
  kinds = ["import"] * 6 + ["resume"] * 14 + ["save"] * 30
  generator.shuffle(kinds)
  longest = {"import": 3.5, "resume": 0.9, "save": 0.1}
  newest, cut_short = -1, 0
  for number, kind in enumerate(kinds):
    delay = generator.uniform(0, longest[kind])
    print(f"kill {number}: {delay:.3f} s into {kind}, newest step {newest}")
    if kind == "import":
      process = server.run(str(run), "9999")
      time.sleep(delay)
      process.kill()
      assert process.wait() == -signal.SIGKILL
    else:
      process = server.start(run, 9999)
      while kind == "save" and not _newer(run, newest):
        os.kill(process, 0)  # it is still there
        time.sleep(0.002)
      time.sleep(delay)
      os.kill(process, signal.SIGKILL)
      assert server.ended() == -signal.SIGKILL
    cut_short += bool(list(run.glob("*ing")))
    newest = _check_sound(run, newest)
  assert cut_short >= 10, "kills hit no save: the moments prove little"

  total_steps = newest + 2
  for name in ("run", "straight"):
    server.start(tmp_path / name, total_steps)
    assert server.ended() == 0
  _check_equal(run, tmp_path / "straight", total_steps)
  assert directory.foreign(run) == [
    directory.step_name(step) for step in (total_steps - 1, total_steps)
  ]


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_at_each_change_of_the_disk_ends_the_same(
  tmp_path, server, every
):
  """The changes are those that Python announces; C++ writes in between."""
  for name, total_steps in (("before", 2), ("straight", 4)):
    server.start(tmp_path / name, total_steps)
    assert server.ended() == 0
  newest = []
  for change in itertools.count(1, every):
    run = tmp_path / str(change)
    shutil.copytree(tmp_path / "before", run)
    server.start(run, 3, change)
    code = server.ended()
    newest.append(_check_sound(run, 2))
    _train(run, 4)
    _check_equal(run, tmp_path / "straight", 4)
    assert not list(run.glob("*ing")), change
    if not code:
      break
    assert code == -signal.SIGKILL, change
  assert newest.count(2) > 3
  assert newest.count(3) > 2
  assert newest == sorted(newest)


def _newer(path, newest):
  found = directory.numbered(path)
  return found and int(found[-1].name) > newest


def _check_sound(path, newest):
  checkpoint = checkpoint_lib.Checkpoint(path)
  assert not any(checkpoint.verify().values()), checkpoint.verify()
  found = checkpoint.latest()
  found = -1 if found is None else found
  assert found >= newest
  return found


def _check_equal(path, straight, step):
  """Compares states by digest and the samples with those of the dataset."""
  found, expected = map(checkpoint_lib.read_manifest, (path, straight))
  assert found.step == expected.step == step
  assert found.leaves == expected.leaves
  assert found.metrics == expected.metrics
  samples = checkpoint_lib.read(path, ("drawn",))["drawn"]["samples"]
  batches = itertools.islice(_batches(), step)
  assert samples == np.concatenate(list(batches)).tolist()


if __name__ == "__main__":
  if sys.argv[1:]:
    _train(sys.argv[1], int(sys.argv[2]))
  else:
    _serve()
