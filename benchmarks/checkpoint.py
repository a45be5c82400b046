"""What a checkpoint costs, beside plain Orbax: one JSON line a figure.

  benchmarks/checkpoint.py                        # 1 GiB in 64 arrays
  benchmarks/checkpoint.py --gib=0.1 --repeats=1

The state is of random float32, on the device, in arrays of equal size. Fresh
processes of carnet and of Orbax (`CheckpointManager`, asynchronous, default
options) alternate, each measures twice; the minimum counts, of peak memory the
maximum. "blocking" is how long the training loop stands still in `save`;
"next_step" how much longer the first training step after it takes than others
do, the copy that donation makes included. CPU seconds count all threads. Bytes
read are those asked of the kernel (/proc/self/io), the page cache warm.

The replay case saves a buffer of chunks, then 1 % new ones.
"""

import contextlib
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import flags

from carnet import allocator, cli
from carnet import checkpoint as checkpoint_lib

_GIB = flags.DEFINE_float("gib", 1.0, "Size of the state.", 0.001)
_ARRAYS = flags.DEFINE_integer("arrays", 64, "Arrays of equal size.", 2)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Alternating runs.", 1)
_REPLAY_GIB = flags.DEFINE_float("replay_gib", 1.0, "Size of the buffer.", 0.01)
_PROGRAM = flags.DEFINE_string("program", None, "For the benchmark's own use.")
_DIRECTORY = flags.DEFINE_string(
  "directory", None, "Where to write; a temporary directory if unset."
)
_PART = r"agent/params/w0[01]"  # 2 of the arrays
_CHUNKS = 200

Figures = dict[str, dict[str, float]]


def main(argv: Sequence[str]) -> None:
  """Measures in fresh processes by turns, and prints the best of each."""
  del argv
  if _PROGRAM.value:
    print(json.dumps(_measure(_PROGRAM.value)))
    return
  best: dict[str, Figures] = {name: {} for name in _PROGRAMS}
  for _ in range(_REPEATS.value):
    for name, figures in best.items():
      arguments = [*sys.argv, f"--program={name}"]
      done = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, check=True
      )
      _keep_best(figures, json.loads(done.stdout))
  for name, figures in best.items():
    for figure, values in figures.items():
      _print(name, figure, values)


def _measure(program: str) -> Figures:
  allocator.keep_freed_memory()
  figures: Figures = {}
  with tempfile.TemporaryDirectory(dir=_DIRECTORY.value) as root:
    for turn in range(2):
      place = pathlib.Path(root) / str(turn)
      _keep_best(figures, _PROGRAMS[program](place))
      shutil.rmtree(place)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  figures["process"] = {"peak_gib": peak / 2**30}
  return figures


def _state(seed: int) -> dict[str, jax.Array]:
  count = int(_GIB.value * 2**30 / 4 / _ARRAYS.value)
  keys = jax.random.split(jax.random.key(seed), _ARRAYS.value)
  return {
    f"w{i:02d}": jax.random.normal(key, (count,)) for i, key in enumerate(keys)
  }


@jax.jit
def _decay(params: dict[str, jax.Array]) -> dict[str, jax.Array]:
  return jax.tree.map(lambda x: x * jnp.float32(0.999), params)


_train_step = jax.jit(_decay, donate_argnums=0)


def _carnet(place: pathlib.Path) -> Figures:
  figures: Figures = {}
  with checkpoint_lib.Checkpoint(place, verbose=False) as saved:
    agent = saved.register("agent", {"params": _state(0)})

    def save() -> None:
      saved.save(1)

    def step() -> None:
      agent.value = {"params": _train_step(agent.value["params"])}
      jax.block_until_ready(agent.value)

    _measure_save(figures, save, step, saved.wait)
  with _watch(figures, "verify"):
    faults = checkpoint_lib.Checkpoint(place).verify()
  assert not any(faults.values()), faults
  for figure, options in (
    ("restore", {}),
    ("restore_unverified", {"verify": False}),
    ("restore_2_arrays", {"regex": _PART}),
  ):
    other = checkpoint_lib.Checkpoint(place, verbose=False)
    agent = other.register("agent", {"params": _state(1)})
    jax.block_until_ready(agent.value)
    with _watch(figures, figure):
      other.load(**options)
      jax.block_until_ready(agent.value)
  return figures


def _orbax(place: pathlib.Path) -> Figures:
  figures: Figures = {}
  params = _state(0)
  with ocp.CheckpointManager(place) as manager:

    def save() -> None:
      manager.save(1, args=ocp.args.PyTreeSave({"params": params}))

    def step() -> None:
      nonlocal params
      params = jax.block_until_ready(_train_step(params))

    _measure_save(figures, save, step, manager.wait_until_finished)
    target = jax.block_until_ready({"params": _state(1)})
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    for figure, names in (
      ("restore", target["params"]),
      ("restore_2_arrays", ("w00", "w01")),
    ):
      part = {"params": {name: target["params"][name] for name in names}}
      arguments = jax.tree.map(
        lambda _: ocp.ArrayRestoreArgs(sharding=sharding), part
      )
      request = ocp.args.PyTreeRestore(
        part, restore_args=arguments, partial_restore=True
      )
      with _watch(figures, figure):
        jax.block_until_ready(manager.restore(1, args=request))
  return figures


def _measure_save(
  figures: Figures,
  save: Callable[[], Any],
  step: Callable[[], None],
  wait: Callable[[], Any],
) -> None:
  for _ in range(3):
    step()
  usual = min(_seconds(step) for _ in range(5))
  with _watch(figures, "save"):
    blocking = _seconds(save)
    first = _seconds(step)
    wait()
  figures["save_blocking"] = {"wall_s": blocking}
  figures["save_next_step"] = {"wall_s": first - usual}


def _replay(place: pathlib.Path) -> Figures:
  """Saves a buffer of chunks in full, and again with 1 % of them new."""
  figures: Figures = {}
  generator = np.random.default_rng(0)

  size = int(_REPLAY_GIB.value * 2**30 / _CHUNKS)

  def chunk() -> checkpoint_lib.Chunk:
    noise = generator.integers(0, 256, (size,), np.uint8)
    return checkpoint_lib.Chunk({"image": noise})

  buffer = _Buffer([chunk() for _ in range(_CHUNKS)])
  with checkpoint_lib.Checkpoint(
    place, checkpoint_lib.Retention(latest=1), verbose=False
  ) as saved:
    saved.register("replay", buffer)
    with _watch(figures, "save_all"):
      saved.save(1)
      saved.wait()
    for step in range(2, 5):
      new = [chunk() for _ in range(_CHUNKS // 100)]
      buffer.chunks = buffer.chunks[len(new) :] + new
      one: Figures = {}
      with _watch(one, "save_1_percent_new"):
        saved.save(step)
        saved.wait()
      _keep_best(figures, one)
  other = checkpoint_lib.Checkpoint(place, verbose=False)
  other.register("replay", _Buffer([]))
  with _watch(figures, "restore"):
    other.load()
  return figures


class _Buffer:
  def __init__(self, chunks: list[checkpoint_lib.Chunk]) -> None:
    self.chunks = chunks

  def state(self) -> checkpoint_lib.Chunked:
    return checkpoint_lib.Chunked(self.chunks)

  def load_state(self, state: checkpoint_lib.Chunked) -> None:
    self.chunks = list(state.chunks)


@contextlib.contextmanager
def _watch(figures: Figures, name: str) -> Iterator[None]:
  read, cpu, wall = _bytes_read(), time.process_time(), time.perf_counter()
  yield
  figures[name] = {
    "wall_s": time.perf_counter() - wall,
    "cpu_s": time.process_time() - cpu,
    "read_mib": (_bytes_read() - read) / 2**20,
  }


def _seconds(function: Callable[[], Any]) -> float:
  start = time.perf_counter()
  function()
  return time.perf_counter() - start


def _bytes_read() -> int:
  lines = pathlib.Path("/proc/self/io").read_text().splitlines()
  return int(lines[0].split()[1])  # rchar


def _keep_best(best: Figures, figures: Figures) -> None:
  for name, values in figures.items():
    known = best.setdefault(name, dict(values))
    for key, value in values.items():
      choose = max if key == "peak_gib" else min
      known[key] = choose(value, known[key])


_PROGRAMS = {"carnet": _carnet, "orbax": _orbax, "replay": _replay}


def _print(program: str, figure: str, values: dict[str, float]) -> None:
  facts = {"benchmark": "checkpoint", "program": program, "figure": figure}
  size = _REPLAY_GIB if program == "replay" else _GIB
  rounded = {key: round(value, 4) for key, value in values.items()}
  print(json.dumps(facts | {"state_gib": size.value} | rounded), flush=True)


if __name__ == "__main__":
  cli.run(main)
