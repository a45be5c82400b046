r"""Environment steps and updates per second of DreamerV3's real loop.

    benchmarks/dreamer_loop.py
    benchmarks/dreamer_loop.py --cases=walker_12m --updates=20
    benchmarks/dreamer_loop.py --cases=walker_12m --memory=device   # a GPU

Runs `dreamer.train` as a user does, in a process and a directory of its own for
each case, and reads its metrics.jsonl. Prints one JSON line a phase: before the
first update, where environments, acting and recording are all there is, and
while training. Rates are of the best and the median line after the first.

The reference on 2 cores of an AMD EPYC, with nothing else running: 73 to 86
environment steps/s in walker proprio before training, as it draws every step,
and 215 in Crafter; 1.3 updates/s while training walker 1m.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from absl import flags

from carnet import cli, errors

_CASES = {
  "walker_1m": ("dmc/walker_walk", "1m", 4, 1024.0),
  "walker_12m": ("dmc/walker_walk", "12m", 4, 512.0),
  "crafter_1m": ("crafter/reward", "1m", 1, 512.0),
}  # task, size, environments and train ratio, as the reference was measured

_NAMES = flags.DEFINE_list("cases", list(_CASES), "Which to run.")
_UPDATES = flags.DEFINE_integer("updates", 40, "To measure while training.", 4)
_STEPS = flags.DEFINE_integer("steps", 10_000, "To measure before it.", 100)
_MEMORY = flags.DEFINE_enum("memory", "host", ["host", "device"], "Of replay.")
_DISPATCH = flags.DEFINE_integer("updates_per_dispatch", 4, "As the config.", 1)
_ONE = flags.DEFINE_string("one", None, "Used by the program itself.")


def main(argv: Sequence[str]) -> None:
  """Measures each case in a fresh process."""
  del argv
  for name in _NAMES.value:
    if name not in _CASES:
      raise errors.unknown("case", name, _CASES)
  if _ONE.value:
    _measure(_ONE.value)
    return
  for name in _NAMES.value:
    command = [sys.executable, __file__, f"--one={name}", *sys.argv[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
      raise errors.UserError(f"case {name} ended with {done.returncode}")
    for line in done.stdout.splitlines():
      if line.startswith("{"):
        print(line, flush=True)


def _measure(name: str) -> None:
  import jax

  from dreamer import config as dreamer_config
  from dreamer import train

  task, size, environments, ratio = _CASES[name]
  config = dreamer_config.default_config()
  dreamer_config.set_size(config, size)
  config.environment.name = task
  config.replay.update(memory=_MEMORY.value, capacity=200_000)
  config.loop.update(
    environments=environments,
    train_ratio=ratio,
    updates_per_dispatch=_DISPATCH.value,
  )
  before = max(_STEPS.value, config.batch_size * config.batch_length)
  prefix = config.batch_size * config.batch_length
  prefix += environments * (config.batch_length + config.replay_context)
  per_update = config.batch_size * config.batch_length / ratio
  phases = {
    "before_training": (0.0, before, max(environments, before // 10)),
    "training": (
      ratio,
      prefix + int(_UPDATES.value * per_update),
      max(environments, int(_UPDATES.value * per_update / 4)),
    ),
  }
  for phase, (train_ratio, steps, every) in phases.items():
    config.loop.train_ratio = train_ratio
    config.total_steps, config.log_every_steps = steps, every
    with tempfile.TemporaryDirectory() as workdir:
      train.train(config, pathlib.Path(workdir))
      lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    found = _rates(
      [row for row in rows if "fps/policy" in row], train_ratio > 0
    )
    facts = {
      "benchmark": "dreamer_loop",
      "case": name,
      "phase": phase,
      "device": jax.devices()[0].device_kind,
      "memory": _MEMORY.value,
      "environments": environments,
      "cores": os.cpu_count(),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(facts | found | {"peak_bytes": peak}), flush=True)


def _rates(rows: list[dict[str, Any]], training: bool) -> dict[str, float]:
  """Returns rates of the lines after the first, which compile."""
  key = "fps/updates" if training else "fps/policy"
  rows = [row for row in rows if row[key] > 0][1:]
  if not rows:
    raise errors.UserError("too few steps were measured: raise --updates")
  found = {}
  for name in ("policy", "updates"):
    values = [row[f"fps/{name}"] for row in rows]
    what = "env_steps" if name == "policy" else "updates"
    found[f"{what}_per_second_best"] = round(max(values), 3)
    found[f"{what}_per_second_median"] = round(statistics.median(values), 3)
  return found


if __name__ == "__main__":
  cli.run(main)
