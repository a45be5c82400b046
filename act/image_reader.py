"""Reads the camera frames of many time steps at once.

TensorFlow Datasets reads the same shards, one parsed record at a time; this
takes only the image bytes out of a record (a test holds the two equal).

Letters: B frames asked for, E episodes, H, W image.
"""

import functools
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from array_record.python import array_record_module
from jaxtyping import Int, UInt8

from act import decoding_threads, example, image_codec, reopening
from act.recordings import remedy
from carnet import errors

# One record at a time, read by the calling thread: reading ahead and threads
# of its own only cost.
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
# A shard is an open file, and a process may open 1024 on most systems.
_OPEN_SHARDS = 512


class ImageReader(reopening.Reopening):
  """Reads frames by number; picklable, safe to use from several threads."""

  made = ("_readers", "_lock")

  def __init__(
    self,
    shards: Sequence[pathlib.Path],
    first_frames: Int[np.ndarray, " E"],
    cameras: Mapping[str, Mapping[str, Any]],
    episodes: Sequence[int],
  ):
    self._shards = tuple(shards)
    self._first_frames = first_frames
    self._cameras = {name: dict(camera) for name, camera in cameras.items()}
    self._episodes = tuple(episodes)
    self._open()

  def read(
    self, frames: Int[np.ndarray, " B"]
  ) -> dict[str, UInt8[np.ndarray, "B H W 3"]]:
    """Returns the images of each camera; UserError names a broken record."""
    out = {
      name: np.empty((len(frames), c["height"], c["width"], 3), np.uint8)
      for name, c in self._cameras.items()
    }
    shards = np.searchsorted(self._first_frames, frames, side="right") - 1
    positions = frames - self._first_frames[shards]
    jobs = []
    for shard in np.unique(shards):
      rows = np.flatnonzero(shards == shard)
      records = self._records(int(shard), positions[rows].tolist())
      for row, record in zip(rows, records, strict=True):
        jobs += [(record, name, out[name][row], int(shard)) for name in out]
    # A picture takes a millisecond, without Python's lock.
    parallel = any(c["encoding"] == "jpeg" for c in self._cameras.values())
    lanes = min(len(jobs), decoding_threads.count() if parallel else 1)
    decoding_threads.run(
      [
        functools.partial(self._decode, jobs[lane::lanes])
        for lane in range(lanes)
      ]
    )
    return out

  def _open(self) -> None:
    self._lock = threading.Lock()
    self._readers: dict[int, Any] = {}

  def _records(self, shard: int, positions: list[int]) -> list[bytes]:
    try:
      return self._reader(shard).read(positions)
    except (RuntimeError, ValueError, IndexError, OSError) as error:
      raise errors.UserError(
        f"{self._shards[shard]}: unreadable record ({error}): delete the "
        "directory and collect the demonstrations again"
      ) from error

  def _reader(self, shard: int) -> Any:
    with self._lock:
      if shard not in self._readers:
        if len(self._readers) >= _OPEN_SHARDS:
          # closes when the last thread that reads from it lets go
          del self._readers[next(iter(self._readers))]
        self._readers[shard] = array_record_module.ArrayRecordReader(
          str(self._shards[shard]), _OPTIONS
        )
      return self._readers[shard]

  def _decode(self, jobs: Sequence[tuple[bytes, str, np.ndarray, int]]) -> None:
    for record, name, image, shard in jobs:
      try:
        data = example.find(record, f"images/{name}")
        image_codec.decode(data, self._cameras[name]["encoding"], image)
      except ValueError as error:
        raise errors.UserError(
          f"{self._shards[shard]}: image of camera '{name}': {error}: "
          f"{remedy.exclude(self._episodes[shard])}"
        ) from error
