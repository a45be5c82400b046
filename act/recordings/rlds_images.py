"""Pictures in episodes of RLDS, frame by frame.

A record holds a whole episode, so one frame costs the reading of all; the last
episodes stay in memory. `scripts/convert.py cache` makes single frames cheap.

Letters: B frames asked for, E episodes, H, W image.
"""

import collections
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from array_record.python import array_record_module
from jaxtyping import Int, UInt8

from act import reopening
from act.recordings import base, remedy, rlds_features, rlds_record
from carnet import errors

# one record at a time, read by the calling thread
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
_EPISODES_KEPT = 4
_OPEN_SHARDS = 64


class Place(NamedTuple):
  """Where an episode is stored."""

  shard: pathlib.Path
  record: int
  episode: int  # its number in the data

  def __str__(self) -> str:
    return f"{self.shard} (episode {self.episode})"


class Shards:
  """Reads the records of several files; safe to use from several threads."""

  def __init__(self) -> None:
    self._lock = threading.Lock()
    self._readers: dict[pathlib.Path, Any] = {}

  def read(self, place: Place) -> bytes:
    """Returns a record; ValueError when it cannot be read."""
    try:
      return self._reader(place.shard).read([place.record])[0]
    except (RuntimeError, IndexError, OSError) as error:
      raise ValueError(f"unreadable record ({error})") from error

  def count(self, shard: pathlib.Path) -> int:
    """Returns how many records a file holds; 0 when it is truncated."""
    try:
      return int(self._reader(shard).num_records())
    except (RuntimeError, OSError):
      return 0

  def _reader(self, shard: pathlib.Path) -> Any:
    with self._lock:
      if shard not in self._readers:
        if len(self._readers) >= _OPEN_SHARDS:
          # closes when the last thread that reads from it lets go
          del self._readers[next(iter(self._readers))]
        reader = array_record_module.ArrayRecordReader(str(shard), _OPTIONS)
        self._readers[shard] = reader
      return self._readers[shard]


class Reader(reopening.Reopening):
  """Reads frames by number; picklable, safe to use from several threads."""

  made = ("_shards", "_lock", "_kept")

  def __init__(
    self,
    places: Sequence[Place],
    lengths: Int[np.ndarray, " E"],
    cameras: Mapping[str, tuple[rlds_features.Feature, base.Camera]],
  ):
    self._places, self._cameras = tuple(places), dict(cameras)
    self._lengths, self._ends = lengths, np.cumsum(lengths)
    self._open()

  def read(
    self, frames: Int[np.ndarray, " B"]
  ) -> dict[str, UInt8[np.ndarray, "B H W 3"]]:
    """Returns the images of each camera; UserError names file and episode."""
    out = {
      name: np.empty((len(frames), x.height, x.width, 3), np.uint8)
      for name, (_, x) in self._cameras.items()
    }
    episodes = np.searchsorted(self._ends, frames, side="right")
    for episode in np.unique(episodes).tolist():
      first = self._ends[episode] - self._lengths[episode]
      stored = self._episode(episode)
      for row in np.flatnonzero(episodes == episode):
        step = int(frames[row] - first)
        for name in out:
          self._decode(stored[name], name, episode, step, out[name][row])
    return out

  def _open(self) -> None:
    self._shards = Shards()
    self._lock = threading.Lock()
    self._kept: collections.OrderedDict[int, dict[str, Any]] = (
      collections.OrderedDict()
    )

  def _episode(self, episode: int) -> dict[str, Any]:
    """Returns what is stored of each camera's pictures in an episode."""
    with self._lock:
      if episode in self._kept:
        self._kept.move_to_end(episode)
        return self._kept[episode]
    place, length = self._places[episode], int(self._lengths[episode])
    try:
      found = rlds_record.features(self._shards.read(place))
      stored = {
        name: rlds_record.pictures(
          found[rlds_record.STEPS + feature.name], feature, length
        )
        for name, (feature, _) in self._cameras.items()
      }
    except (ValueError, KeyError) as error:
      advice = remedy.exclude(place.episode)
      raise errors.UserError(f"{place}: {error}: {advice}") from error
    with self._lock:
      self._kept[episode] = stored
      while len(self._kept) > _EPISODES_KEPT:
        self._kept.popitem(last=False)
    return stored

  def _decode(
    self, stored: Any, name: str, episode: int, step: int, out: np.ndarray
  ) -> None:
    try:
      picture = rlds_record.decode(stored[step], self._cameras[name][0])
      if picture.shape != out.shape:
        raise ValueError(f"shape {picture.shape}, elsewhere {out.shape}")
      out[...] = picture
    except ValueError as error:
      raise errors.UserError(
        f"{self._places[episode]}: camera '{name}', frame {step}: {error}: "
        f"{remedy.exclude(self._places[episode].episode)}"
      ) from error
