"""Samples a second from disk to device, one JSON line a figure.

  benchmarks/act_data.py                       # collects 2 demonstrations each
  benchmarks/act_data.py --directory=data/aloha_transfer_cube --batch_size=8

Every batch is a random one, decoded and put on the device, nothing else runs.
Wall seconds are those of the whole loop; CPU seconds count all threads, worker
processes not. The page cache is warm after the first pass over a small dataset.
"""

import json
import pathlib
import tempfile
import time
from collections.abc import Sequence

import jax
from absl import flags

from act import dataset, demonstrations, storage
from carnet import cli

_DIRECTORY = flags.DEFINE_string(
  "directory", None, "Demonstrations; two sizes are collected if unset."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Samples of a batch.", 1)
_SECONDS = flags.DEFINE_float("seconds", 10.0, "How long to read.", 0.1)
_WORKERS = flags.DEFINE_integer("workers", 0, "Reading processes.", 0)
_CHUNK_SIZE = 100
_WARM_UP_BATCHES = 3


def main(argv: Sequence[str]) -> None:
  """Measures the given dataset, or 480x640 JPEG and 96x96 raw frames."""
  del argv
  if _DIRECTORY.value:
    measure(pathlib.Path(_DIRECTORY.value), _BATCH_SIZE.value)
    return
  with tempfile.TemporaryDirectory() as root:
    for height, width, batch_size in ((480, 640, 8), (96, 96, 32)):
      directory = pathlib.Path(root) / f"{height}x{width}"
      settings = demonstrations.Settings(
        task="aloha/transfer_cube",
        episodes=2,
        height=height,
        width=width,
        renderer="raycast",
      )
      measure(demonstrations.collect(settings, directory), batch_size)


def measure(directory: pathlib.Path, batch_size: int) -> None:
  """Prints samples/s, wall and CPU milliseconds of a sample."""
  cameras = storage.read_metadata(directory)["cameras"]
  data = dataset.open(directory, tuple(cameras))
  batches = dataset.make_iterator(
    data,
    range(data.num_episodes),
    "frames",
    batch_size,
    _CHUNK_SIZE,
    seed=0,
    workers=_WORKERS.value,
  )
  for _ in range(_WARM_UP_BATCHES):
    jax.block_until_ready(jax.device_put(next(batches)))
  count, wall, cpu = 0, time.perf_counter(), time.process_time()
  while time.perf_counter() - wall < _SECONDS.value:
    jax.block_until_ready(jax.device_put(next(batches)))
    count += batch_size
  wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
  camera = next(iter(cameras.values()))
  print(
    json.dumps(
      {
        "benchmark": "act_data",
        "device": jax.devices()[0].device_kind,
        "frames": f"{camera['height']}x{camera['width']}",
        "encoding": camera["encoding"],
        "cameras": len(cameras),
        "batch_size": batch_size,
        "workers": _WORKERS.value,
        "samples_per_second": round(count / wall, 1),
        "wall_ms_per_sample": round(1000 * wall / count, 3),
        "cpu_ms_per_sample": round(1000 * cpu / count, 3),
      }
    ),
    flush=True,
  )


if __name__ == "__main__":
  cli.run(main)
