r"""Speed, memory and compile time of ACT's training step and query.

    benchmarks/act_learner.py --batch_sizes=8
    benchmarks/act_learner.py --batch_sizes=8,64     # a GPU, or 12 GiB

The default network (51.6 M parameters) with one 480x640 camera; bfloat16 on an
accelerator, float32 on a CPU. Prints one JSON line a figure. Each figure has a
process of its own, whose peak memory it is; runs are timed after compilation
and after one run. On a busy machine trust the minima and the CPU seconds.

`--backbone_norm=frozen` is the network of LeRobot, whose figures on 2 cores of
an AMD EPYC with nothing else running are (torch 2.13, batch 8 and batch 1):
4.41 s and 8.4 CPU-seconds a step, 0.142 s and 0.29 CPU-seconds a query,
3.6 GiB.
"""

import functools
import importlib.metadata
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from act import config as config_lib
from act import features as features_lib
from act import learner
from carnet import cli, errors

# Operations of the default network, multiplications and additions counted
# apart; a training sample is about three times its forward pass.
SAMPLE_FLOPS = 114e9
QUERY_FLOPS = 34.9e9
HEIGHT, WIDTH, JOINTS = 480, 640, 14

_BATCH_SIZES = flags.DEFINE_list(
  "batch_sizes", ["8"], "Batch sizes of the training step; 64 takes 12 GiB."
)
_BACKBONE_NORM = flags.DEFINE_enum(
  "backbone_norm", "frozen", ["frozen", "group"], "Norms of the ResNet-18."
)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs a figure.", 1)
_PEAK_GFLOPS = flags.DEFINE_float(
  "peak_gflops", 0.0, "What the device can do; 0 times a matrix product.", 0.0
)
_FIGURE = flags.DEFINE_string(
  "figure", "", "Measure only this, here: query, or step_ and a batch size."
)


def main(argv: Sequence[str]) -> None:
  """Starts one process a figure, or measures the one that is asked for."""
  del argv
  if _FIGURE.value:
    print(json.dumps(_measure(_FIGURE.value)), flush=True)
    return
  if not all(size.isdigit() and int(size) for size in _BATCH_SIZES.value):
    raise errors.UserError(f"--batch_sizes={_BATCH_SIZES.value}: counts from 1")
  figures = [*(f"step_{size}" for size in _BATCH_SIZES.value), "query"]
  for figure in figures:
    command = [sys.executable, *sys.argv, f"--figure={figure}"]
    if subprocess.run(command, check=False).returncode:
      raise errors.UserError(f"{figure} failed: see above")


def _measure(figure: str) -> dict[str, Any]:
  config = config_lib.default_config()
  config.model.backbone_norm = _BACKBONE_NORM.value
  features = features_lib.Features(
    images=(("top", (HEIGHT, WIDTH, 3)),),
    action_size=JOINTS,
    state_size=JOINTS,
  )
  before = time.perf_counter()
  state = jax.block_until_ready(learner.init_state(config, features))
  initialised = time.perf_counter() - before
  bound = (config, features, _statistics())
  if figure == "query":
    size, flops = 1, QUERY_FLOPS
    run, compiled = _query(bound, state)
  else:
    size = int(figure.removeprefix("step_"))
    flops = SAMPLE_FLOPS
    run, compiled = _step(bound, state, size)
  run()
  times = [_time(run) for _ in range(_REPEATS.value)]
  peak = _peak_memory()  # before the matrix product that the device is held to
  wall, cpu = ([pair[i] for pair in times] for i in range(2))
  gflops = _PEAK_GFLOPS.value or _product_gflops()
  return {
    "benchmark": "act_learner",
    "figure": figure,
    "batch_size": size,
    "backbone_norm": _BACKBONE_NORM.value,
    "wall_seconds": min(wall),
    "wall_seconds_median": statistics.median(wall),
    "cpu_seconds": min(cpu),
    "cpu_seconds_median": statistics.median(cpu),
    "samples_per_second": size / min(wall),
    "flop_utilisation": size * flops / min(wall) / gflops / 1e9,
    "peak_gflops": gflops,
    "peak_memory_mib": peak,
    "initialise_seconds": initialised,
    "compile_seconds": compiled,
    "dtype": learner.compute_dtype().name,
    "device": jax.devices()[0].device_kind,
    "cores": len(os.sched_getaffinity(0)),
    "versions": {
      name: importlib.metadata.version(name)
      for name in ("carnet", "jax", "jaxlib", "flax", "optax")
    },
  }


def _statistics() -> dict[str, Any]:
  joints = {"mean": [0.0] * JOINTS, "std": [1.0] * JOINTS}
  return {"state": joints, "action": joints}


def _batch(size: int) -> dict[str, Any]:
  keys = jax.random.split(jax.random.key(0), 3)
  chunk = config_lib.default_config().model.chunk_size
  shape = (size, HEIGHT, WIDTH, 3)
  return {
    "images": {"top": jax.random.bits(keys[0], shape, jnp.uint8)},
    "state": jax.random.normal(keys[1], (size, JOINTS)),
    "actions": jax.random.normal(keys[2], (size, chunk, JOINTS)),
    "is_pad": jnp.zeros((size, chunk), bool),
  }


def _step(
  bound: tuple[Any, ...], state: learner.TrainState, size: int
) -> tuple[Callable[[], None], float]:
  """Returns a function that trains one step, and the seconds to compile it."""
  batch = _batch(size)
  train_step = jax.jit(
    functools.partial(learner.train_step, *bound), donate_argnums=0
  )
  before = time.perf_counter()
  compiled = train_step.lower(state, batch).compile()
  seconds = time.perf_counter() - before

  def run() -> None:
    nonlocal state
    state, metrics = compiled(state, batch)
    jax.block_until_ready((state, metrics))

  return run, seconds


def _query(
  bound: tuple[Any, ...], state: learner.TrainState
) -> tuple[Callable[[], None], float]:
  """Returns a function that predicts one chunk, and the compile seconds."""
  batch = _batch(1)
  observation = {name: batch[name] for name in ("images", "state")}
  predict = jax.jit(functools.partial(learner.predict, *bound))
  arguments = (state.params, state.buffers, observation)
  before = time.perf_counter()
  compiled = predict.lower(*arguments).compile()
  seconds = time.perf_counter() - before
  return lambda: jax.block_until_ready(compiled(*arguments)), seconds


def _time(run: Callable[[], None]) -> tuple[float, float]:
  wall, cpu = time.perf_counter(), time.process_time()
  run()
  return time.perf_counter() - wall, time.process_time() - cpu


def _peak_memory() -> float:
  """Returns MiB: of the accelerator, or of this process on a CPU."""
  device = jax.devices()[0]
  if device.platform == "cpu":
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
  return (device.memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**20


def _product_gflops() -> float:
  """Returns the speed of a large matrix product in the same precision."""
  on_cpu = jax.default_backend() == "cpu"
  n = 2048 if on_cpu else 8192
  matrix = jnp.ones((n, n), learner.compute_dtype())
  multiply = jax.jit(jnp.dot)
  multiply(matrix, matrix).block_until_ready()
  times = [
    _time(lambda: multiply(matrix, matrix).block_until_ready())[0]
    for _ in range(10)
  ]
  return 2 * n**3 / min(times) / 1e9


if __name__ == "__main__":
  cli.run(main)
