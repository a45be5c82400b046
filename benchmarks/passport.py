"""What papers cost for an ACT of 52M parameters: one JSON line a figure.

  benchmarks/passport.py
  benchmarks/passport.py --workdir=/tmp/papers     # keeps the run for the next

The checkpoint is that of one training step of the paper's network, optimizer
included, on two demonstrations of 96x96 pixels: sizes of pictures do not
matter here. Every figure is of fresh processes, the least of several, as wall
and CPU seconds; `start` is how long Python and the imports take of it. Files
are read and hashed with hashlib on as many threads as there are cores, which is
what validation is measured against; the page cache is warm, and so is Python's
of compiled modules.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from absl import flags

from carnet import cli
from carnet.checkpoint import directory
from configs.act import quickstart

_WORKDIR = flags.DEFINE_string("workdir", None, "Kept; else a temporary one.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "The least of so many.", 1)
_HASH = flags.DEFINE_string("hash", None, "Used by the program itself.")
_COMPILED = tempfile.TemporaryDirectory()
_STATIC = "import carnet.passport.validate_command"


def main(argv: Sequence[str]) -> None:
  """Makes the checkpoint where there is none, and measures."""
  del argv
  if _HASH.value:
    print(json.dumps({"bytes": _hash(pathlib.Path(_HASH.value))}))
    return
  with tempfile.TemporaryDirectory() as temporary:
    root = pathlib.Path(_WORKDIR.value or temporary)
    step = _checkpoint(root)
    _report(step, root / "data")


def _checkpoint(root: pathlib.Path) -> pathlib.Path:
  from act import config as act_config
  from act import demonstrations, train

  small = quickstart.get_config("smoke")
  config = act_config.default_config()
  config.total_steps = 1
  config.batch_size = 2
  config.environment.update(small.environment)
  config.dataset.path = str(root / "data")
  config.evaluation.update(every_steps=0, validation_every_steps=0)
  described = config.environment.to_dict()
  settings = demonstrations.Settings(
    task=described.pop("name"), episodes=2, first_seed=1000, **described
  )
  demonstrations.collect(settings, config.dataset.path)
  train.train(config, root / "run")
  return root / "run" / directory.STEPS / directory.step_name(1)


def _report(step: pathlib.Path, data: pathlib.Path) -> None:
  tools = pathlib.Path(sys.executable).parent
  place = str(step)
  commands = {
    "generate_static": ["generate-passport", place, "--static-only"],
    "generate": ["generate-passport", place, "--dataset-path", str(data)],
    "validate": ["validate-checkpoint", place],
    "sign": ["sign-checkpoint", place, "--reason=benchmark"],
    "gate": ["validate-checkpoint", place, "--require-signoff"],
  }
  figures = {
    "start_python": _least([sys.executable, "-c", "pass"]),
    "start_static_half": _least([sys.executable, "-c", _STATIC]),
    "start_cryptography": _least([sys.executable, "-c", "import cryptography"]),
    "read_and_hash": _least([sys.executable, __file__, f"--hash={place}"]),
  }
  for name, (tool, *words) in commands.items():
    repeats = 1 if name == "generate" else _REPEATS.value
    figures[name] = _least([str(tools / tool), *words], repeats)
  size = sum(x.stat().st_size for x in step.rglob("*") if x.is_file())
  print(json.dumps({"figure": "checkpoint", "bytes": size}))
  for name, (wall, cpu, peak) in figures.items():
    row = {"figure": name, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3)}
    print(json.dumps(row | {"peak_mib": peak // 1024}), flush=True)


def _least(
  command: Sequence[str], repeats: int | None = None
) -> tuple[float, float, int]:
  """Returns the least wall and CPU seconds, and the highest peak in KiB."""
  # as installed: some machines forbid Python to keep what it compiled
  environment = {
    **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": _COMPILED.name,
  }
  found = []
  for _ in range(repeats or _REPEATS.value):
    start = time.monotonic()
    process = subprocess.Popen(
      command,
      env=environment,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    _, _, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    found.append((wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss))
  walls, cpus, peaks = zip(*found, strict=True)
  return min(walls), min(cpus), max(peaks)


def _hash(path: pathlib.Path) -> int:
  """Reads and hashes all files below a directory; returns their bytes."""
  names = [x for x in path.rglob("*") if x.is_file()]
  start = time.monotonic()
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(_digest, names))
  wall = time.monotonic() - start
  used = resource.getrusage(resource.RUSAGE_SELF)
  sys.stderr.write(f"{wall:.3f} s, {used.ru_utime + used.ru_stime:.3f} CPU-s\n")
  return sum(x.stat().st_size for x in names)


def _digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
  cli.run(main)
