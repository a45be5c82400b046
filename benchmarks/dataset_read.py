"""Milliseconds a random item from disk, one JSON line a figure.

  benchmarks/dataset_read.py                          # makes what it reads
  benchmarks/dataset_read.py --origin=lerobot:data/so101

An item is one frame of every camera, the state and 100 actions; items are asked
for one at a time, in random order, by one thread. What it makes has two cameras
of 480x640: as videos (AV1), as images in Parquet, and in our cache of the
videos. Wall times are those of a machine with nothing else to do, if it has;
CPU times count all threads. The page cache is warm. Each figure has a process
of its own, whose largest memory it tells.
"""

import contextlib
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np
from absl import flags

from benchmarks import synthetic_lerobot
from carnet import cli

_ORIGIN = flags.DEFINE_string("origin", None, "What to read; made if unset.")
_EPISODES = flags.DEFINE_integer("episodes", 4, "Episodes to make.", 1)
_LENGTH = flags.DEFINE_integer("length", 150, "Frames of each.", 2)
_HEIGHT = flags.DEFINE_integer("height", 480, "Of the images made.", 16)
_WIDTH = flags.DEFINE_integer("width", 640, "Of the images made.", 16)
_ITEMS = flags.DEFINE_integer("items", 300, "Items to read.", 1)
_CHUNK_SIZE = 100
_WARM_UP_ITEMS = 20
_IMPORTS = 7
_IMPORT = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import act.recordings.lerobot
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def main(argv: Sequence[str]) -> None:
  """Measures what --origin names, or the import and three kinds of storage."""
  del argv
  if _ORIGIN.value:
    measure(_ORIGIN.value, _ITEMS.value)
    return
  measure_import()
  with tempfile.TemporaryDirectory() as folder:
    origins = make(pathlib.Path(folder))
    for origin in origins:
      command = [sys.executable, __file__, f"--origin={origin}"]
      subprocess.run([*command, f"--items={_ITEMS.value}"], check=True)


def make(root: pathlib.Path) -> list[str]:
  """Returns what opens the same scenes as videos, as images and in a cache."""
  from act.recordings import base, caching

  for kind in ("video", "image"):
    synthetic_lerobot.write(
      root / kind,
      kind,
      _EPISODES.value,
      _LENGTH.value,
      _HEIGHT.value,
      _WIDTH.value,
    )
  video, image = (f"lerobot:{root / kind}" for kind in ("video", "image"))
  with contextlib.redirect_stdout(sys.stderr):  # its progress
    cache = caching.cache(
      video, root / "cache", caching.Asked(workers=1), base.Options()
    )
  return [video, image, str(cache)]


def measure_import() -> None:
  """Prints how long the reader's import takes in a fresh process."""
  command = [sys.executable, "-c", _IMPORT]
  times = [
    subprocess.run(command, check=True, capture_output=True, text=True)
    for _ in range(_IMPORTS)
  ]
  walls, cpus = np.array([t.stdout.split() for t in times], float).T
  _print(
    "import act.recordings.lerobot",
    wall_ms_min=1e3 * walls.min(),
    wall_ms_median=1e3 * np.median(walls),
    cpu_ms_min=1e3 * cpus.min(),
  )


def measure(origin: str, items: int) -> None:
  """Prints wall and CPU milliseconds of an item, and the largest memory."""
  from act.recordings import opening

  began = time.perf_counter()
  recording = opening.open(origin)
  opened = time.perf_counter() - began
  images = recording.open_images(tuple(recording.cameras))
  frames = np.random.default_rng(0).integers(
    recording.num_frames, size=_WARM_UP_ITEMS + items
  )
  walls = []
  cpu = 0.0
  for i, frame in enumerate(frames):
    if i == _WARM_UP_ITEMS:
      cpu = time.process_time()
    began = time.perf_counter()
    images.read(frame[None])
    for vector in recording.vectors.values():
      vector.values[frame : frame + _CHUNK_SIZE].copy()
    walls.append(time.perf_counter() - began)
  cpu = time.process_time() - cpu
  walls = walls[_WARM_UP_ITEMS:]
  sizes = {f"{c.height}x{c.width}" for c in recording.cameras.values()}
  _print(
    "random items",
    format=recording.format,
    cameras=len(recording.cameras),
    frames=", ".join(sorted(sizes)),
    bytes_per_frame=_size(recording.path) // max(recording.num_frames, 1),
    open_ms=1e3 * opened,
    wall_ms_min=1e3 * min(walls),
    wall_ms_median=1e3 * float(np.median(walls)),
    wall_ms_mean=1e3 * float(np.mean(walls)),
    cpu_ms=1e3 * cpu / items,
    peak_mib=_peak_mib(),
  )


def _peak_mib() -> float:
  status = pathlib.Path("/proc/self/status")
  if status.exists():  # ru_maxrss of a child starts at its parent's
    lines = dict(row.split(":", 1) for row in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def _size(path: pathlib.Path) -> int:
  return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _print(figure: str, **values: float | int | str) -> None:
  rounded = {
    key: round(value, 2) if isinstance(value, float) else value
    for key, value in values.items()
  }
  line = {"benchmark": "dataset_read", "figure": figure, **rounded}
  print(json.dumps(line), flush=True)


if __name__ == "__main__":
  cli.run(main)
