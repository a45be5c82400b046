r"""Speed, memory and compile time of DreamerV3's update and acting step.

    benchmarks/dreamer_learner.py                        # a CPU
    benchmarks/dreamer_learner.py --cases=walker,image --size=200m \
      --device_replay --updates=8                        # a GPU

Synthetic batches of 16 sequences of 64 steps. `walker` has the 24 numbers and 6
actions of dm_control's walker, `image` 64x64 pixels and the 17 actions of
Crafter. Prints one JSON line a case. Each case has a process of its own, whose
peak memory it is; runs are timed after compilation and two runs. On a busy
machine trust the minima and the CPU seconds. Checkpoints go to the disk of
`--directory`.

With `--device_replay` one dispatch takes `--updates` updates on batches that it
samples itself from a replay in device memory; figures are still of one update.

The original (danijar/dreamerv3 at e3f0224, float32) needs on 2 cores of an AMD
EPYC with nothing else running: walker_1m 0.40 s and 0.67 CPU-seconds an update,
walker_12m 2.57 s and 4.78, Crafter at 1m 3.35 s and 6.17; a policy call 0.70,
1.21 and 1.52 ms.
"""

import functools
import importlib.metadata
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import flags
from flax import nnx

from benchmarks import dreamer_data
from carnet import allocator, checkpoint, cli, errors
from dreamer import config as config_lib
from dreamer import device_replay, learner, policy

Tree = dict[str, Any]
Run = Callable[[], None]
CASES = ("walker_1m", "walker_12m", "image_1m", "image_12m")

_CASES = flags.DEFINE_list(
  "cases", list(CASES), "walker or image, _ and a size, which --size gives too."
)
_SIZE = flags.DEFINE_string("size", "", "Preset of cases that name none.")
_BATCH = flags.DEFINE_integer("batch_size", 16, "Sequences a batch.", 1)
_LENGTH = flags.DEFINE_integer("batch_length", 64, "Steps a sequence.", 1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs a figure.", 1)
_DEVICE_REPLAY = flags.DEFINE_bool(
  "device_replay", False, "Sample batches on the device, within the program."
)
_UPDATES = flags.DEFINE_integer(
  "updates", 1, "Updates a dispatch; more need --device_replay.", 1
)
_DIRECTORY = flags.DEFINE_string("directory", None, "Where checkpoints go.")
_CASE = flags.DEFINE_string("case", "", "Measure only this one, here.")


def main(argv: Sequence[str]) -> None:
  """Starts one process a case, or measures the one that is asked for."""
  del argv
  if _UPDATES.value > 1 and not _DEVICE_REPLAY.value:
    raise errors.UserError(f"--updates={_UPDATES.value} needs --device_replay")
  if _CASE.value:
    print(json.dumps(_measure(_CASE.value)), flush=True)
    return
  names = [_named(case) for case in _CASES.value]
  for name in names:
    command = [sys.executable, *sys.argv, f"--case={name}"]
    if subprocess.run(command, check=False).returncode:
      raise errors.UserError(f"{name} failed: see above")


def _named(case: str) -> str:
  """Returns a case with its size; raises if there is no such."""
  kind, _, size = case.partition("_")
  size = size or _SIZE.value or "1m"
  if kind not in ("walker", "image"):
    raise errors.unknown("case", case, CASES)
  if size not in config_lib.PRESETS:
    raise errors.unknown("size", size, tuple(config_lib.PRESETS))
  return f"{kind}_{size}"


def _measure(case: str) -> Tree:
  allocator.keep_freed_memory()
  config, spec = dreamer_data.problem(case)
  config.batch_size, config.batch_length = _BATCH.value, _LENGTH.value
  before = time.perf_counter()
  graph, state = jax.block_until_ready(learner.init_state(config, spec))
  initialised = time.perf_counter() - before
  count = sum(x.size for x in jax.tree.leaves(state.params))
  policy = _timed(*_policy(config, spec, graph, state.params), 50)
  saved = _checkpoint(state)
  make = _replayed if _DEVICE_REPLAY.value else _plain
  update = _timed(*make(config, spec, graph, state), _REPEATS.value)
  return {
    "benchmark": "dreamer_learner",
    "case": case,
    "parameters": count,
    "batch": [config.batch_size, config.batch_length],
    "updates_per_dispatch": _UPDATES.value,
    "device_replay": _DEVICE_REPLAY.value,
    **{
      name: value if name == "compile_seconds" else value / _UPDATES.value
      for name, value in update.items()
    },
    **{f"policy_{name}": value for name, value in policy.items()},
    **saved,
    "initialise_seconds": initialised,
    "peak_memory_mib": _peak_memory(),
    "device": jax.devices()[0].device_kind,
    "cores": len(os.sched_getaffinity(0)),
    "versions": {
      name: importlib.metadata.version(name)
      for name in ("carnet", "jax", "jaxlib", "flax", "optax")
    },
  }


def _plain(
  config: ml_collections.ConfigDict,
  spec: learner.Spec,
  graph: nnx.GraphDef,
  state: learner.TrainState,
) -> tuple[Run, float]:
  """Returns a function that updates once, and the seconds to compile it."""
  leading = (config.batch_size, config.batch_length)
  batch = dreamer_data.steps(spec, leading) | {
    "previous_action": dreamer_data.actions(spec, leading),
    "start": dreamer_data.latent(config, leading[:1]),
  }

  def update(state: Any, batch: Tree) -> tuple[Any, Any]:
    state, known = learner.train_step(config, spec, graph, state, batch)
    return state, (known["metrics"], known["latent"])

  return _stateful(update, state, jax.device_put(batch))


def _replayed(
  config: ml_collections.ConfigDict,
  spec: learner.Spec,
  graph: nnx.GraphDef,
  state: learner.TrainState,
) -> tuple[Run, float]:
  """Returns the same of a scan over updates on batches of a device replay."""
  length = config.batch_length + config.replay_context
  shape = (2 * length, config.batch_size)
  latent = dreamer_data.latent(config, shape)
  steps = dreamer_data.steps(spec, shape) | {
    "action": dreamer_data.actions(spec, shape),
    "deter": latent.deter,
    "stoch": latent.stoch.astype(np.uint8),
  }
  replay = device_replay.DeviceReplay(
    jax.device_put(steps), jnp.int32(0), jnp.int32(shape[0])
  )

  def one(carry: Any, _: None) -> tuple[Any, Any]:
    state, replay = carry
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    found, (times, rows) = device_replay.sample(
      replay, config.batch_size, length, key
    )
    batch = dreamer_data.batch_of(config, spec, found)
    state, known = learner.train_step(config, spec, graph, state, batch)
    latent = known["latent"]
    replay = device_replay.write_back(
      replay,
      (times[:, config.replay_context :], rows),
      {"deter": latent.deter, "stoch": latent.stoch},
    )
    return (state, replay), known["metrics"]

  def updates(carry: Any, _: None) -> tuple[Any, Any]:
    return jax.lax.scan(one, carry, length=_UPDATES.value)

  return _stateful(updates, (state, replay), None)


def _stateful(
  function: Callable[[Any, Any], tuple[Any, Any]], state: Any, batch: Any
) -> tuple[Run, float]:
  """Returns a function that moves the state on, and the compile seconds."""
  before = time.perf_counter()
  jitted = jax.jit(function, donate_argnums=0)
  compiled = jitted.lower(state, batch).compile()
  seconds = time.perf_counter() - before

  def run() -> None:
    nonlocal state
    state, known = compiled(state, batch)
    jax.block_until_ready((state, known))

  return run, seconds


def _policy(
  config: ml_collections.ConfigDict,
  spec: learner.Spec,
  graph: nnx.GraphDef,
  params: Tree,
) -> tuple[Run, float]:
  """Returns a function that acts once in one environment, and the compile
  seconds.
  """

  seen = dreamer_data.steps(spec, (1,))
  act = functools.partial(policy.act, config, spec, graph)
  carry = policy.initial(config, spec, 1)
  arguments = (params, carry, seen, seen["is_first"], jax.random.key(0))
  before = time.perf_counter()
  compiled = jax.jit(act).lower(*arguments).compile()
  seconds = time.perf_counter() - before

  def run() -> None:  # the observation crosses to the device, the action back
    jax.device_get(compiled(*arguments).action)

  return run, seconds


def _checkpoint(state: learner.TrainState) -> Tree:
  """Returns seconds and bytes of saving and of loading the whole state."""
  with (
    tempfile.TemporaryDirectory(dir=_DIRECTORY.value) as root,
    checkpoint.Checkpoint(root, verbose=False) as target,
  ):
    agent = target.register("agent", jax.tree.map(jnp.copy, state))

    def save() -> None:
      target.save(1)
      target.wait()

    saved, _ = _time(save)
    files = [x for x in pathlib.Path(root).rglob("*") if x.is_file()]
    size = sum(x.stat().st_size for x in files)

    def load() -> None:
      target.load()
      jax.block_until_ready(jax.tree.leaves(agent.value))

    loaded, _ = _time(load)
  return {
    "checkpoint_mib": size / 2**20,
    "save_seconds": saved,
    "load_seconds": loaded,
  }


def _timed(run: Run, compiled: float, repeats: int) -> Tree:
  for _ in range(2):
    run()
  times = [_time(run) for _ in range(repeats)]
  wall, cpu = ([pair[i] for pair in times] for i in range(2))
  return {
    "wall_seconds": min(wall),
    "wall_seconds_median": statistics.median(wall),
    "cpu_seconds": min(cpu),
    "cpu_seconds_median": statistics.median(cpu),
    "compile_seconds": compiled,
  }


def _time(run: Run) -> tuple[float, float]:
  wall, cpu = time.perf_counter(), time.process_time()
  run()
  return time.perf_counter() - wall, time.process_time() - cpu


def _peak_memory() -> float:
  """Returns MiB: of the accelerator, or of this process on a CPU."""
  device = jax.devices()[0]
  if device.platform == "cpu":
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
  return (device.memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**20


if __name__ == "__main__":
  cli.run(main)
