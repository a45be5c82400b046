"""Pictures of a LeRobotDataset, by frame: out of videos, or out of Parquet.

Those of a batch are sorted by file, so that frames that are decoded from the
same keyframe are decoded once, and files are read side by side.

Letters: B frames asked for, E episodes, H, W image.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import os
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from act import reopening
from act.recordings import decoding, parquet_images, remedy, video
from carnet import errors


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
  """Where the pictures of a camera are: which file, and from where on.

  `files` are videos, or the paths of Parquet files with a column `column`.
  """

  height: int
  width: int
  files: Sequence[video.Video | str]
  file_of: Int[np.ndarray, " E"]
  first_of: Int[np.ndarray, " E"]
  column: str


class Reader(reopening.Reopening):
  """Implements `base.Images`."""

  made = ("_pool", "_lock", "_threads")

  def __init__(
    self,
    root: pathlib.Path,
    sources: Mapping[str, Source],
    episodes: Int[np.ndarray, " E"],
    lengths: Int[np.ndarray, " E"],
  ) -> None:
    self._sources = dict(sources)
    self._episodes = episodes
    self._ends = np.cumsum(lengths)
    self._starts = self._ends - lengths
    self._decoders = decoding.Decoders()
    self._groups = parquet_images.Groups(root)
    self._open()

  def _open(self) -> None:
    self._lock = threading.Lock()
    self._threads = _cores()
    self._pool: concurrent.futures.ThreadPoolExecutor | None = None

  def read(
    self, frames: Int[np.ndarray, " B"]
  ) -> dict[str, UInt8[np.ndarray, "B H W 3"]]:
    """Returns the images of each camera; UserError names file and episode."""
    frames = np.asarray(frames, np.int64)
    if len(frames) and not 0 <= frames.min() <= frames.max() < self._ends[-1]:
      raise IndexError(f"frames 0 to {self._ends[-1] - 1} are there")
    out = {
      name: np.empty((len(frames), s.height, s.width, 3), np.uint8)
      for name, s in self._sources.items()
    }
    tasks: list[Callable[[], None]] = []
    for name in out:
      tasks += self._tasks(name, frames, out[name])
    self._run(tasks)
    return out

  def _tasks(
    self, name: str, frames: np.ndarray, out: np.ndarray
  ) -> list[Callable[[], None]]:
    """Returns what fills the images of one camera, for threads to do."""
    source = self._sources[name]
    episodes = np.searchsorted(self._ends, frames, side="right")
    places = source.first_of[episodes] + frames - self._starts[episodes]
    files = source.file_of[episodes]
    tasks: list[Callable[[], None]] = []
    for file in np.unique(files):
      rows = np.flatnonzero(files == file)
      wanted, back = np.unique(places[rows], return_inverse=True)
      rows_of = {f: rows[back == i] for i, f in enumerate(wanted.tolist())}
      for part in self._parts(source.files[file], list(rows_of)):
        images = [rows_of[frame] for frame in part]
        tasks.append(
          functools.partial(self._fill, name, int(file), part, images, out)
        )
    return tasks

  def _parts(
    self, file: video.Video | str, wanted: list[int]
  ) -> list[list[int]]:
    """Returns frames that are wanted: what one thread is to do at a time."""
    if isinstance(file, str):
      return [[frame] for frame in wanted]
    runs = decoding.runs(file, wanted)
    step = -(-len(runs) // self._threads)
    return [
      list(itertools.chain.from_iterable(runs[i : i + step]))
      for i in range(0, len(runs), step)
    ]

  def _fill(
    self,
    name: str,
    file: int,
    wanted: list[int],
    rows: list[np.ndarray],
    out: np.ndarray,
  ) -> None:
    source = self._sources[name]
    place = source.files[file]
    images = [out[row[0]] for row in rows]
    try:
      if isinstance(place, str):
        self._groups.read(place, source.column, wanted, images)
      else:
        self._decoders.read(place, wanted, images)
    except (video.BrokenError, parquet_images.BrokenError) as error:
      raise self._fault(name, file, wanted[0], error) from error
    for row in rows:
      out[row[1:]] = out[row[0]]

  def _run(self, tasks: Sequence[Callable[[], None]]) -> None:
    if len(tasks) <= 1 or self._threads == 1:
      for task in tasks:
        task()
      return
    with self._lock:
      if self._pool is None:
        self._pool = concurrent.futures.ThreadPoolExecutor(
          self._threads, "frames"
        )
    running = [self._pool.submit(task) for task in tasks[1:]]
    try:
      tasks[0]()
    finally:
      # none may write into the images after they are given up
      concurrent.futures.wait(running)
    for future in running:
      future.result()

  def _fault(
    self, name: str, file: int, first: int, error: Exception
  ) -> errors.UserError:
    """Returns the error that says whose frame it was."""
    source = self._sources[name]
    place = getattr(error, "frame", getattr(error, "row", None))
    place = first if place is None else place
    lengths = self._ends - self._starts
    inside = (
      (source.file_of == file)
      & (source.first_of <= place)
      & (place < source.first_of + lengths)
    )
    episode = int(np.argmax(inside))
    path = source.files[file]
    return errors.UserError(
      f"{path if isinstance(path, str) else path.path}: camera '{name}', "
      f"episode {self._episodes[episode]}, frame "
      f"{place - source.first_of[episode]}: {error}: fetch the file again, or "
      f"{remedy.exclude(int(self._episodes[episode]))}"
    )


def _cores() -> int:
  """Returns how many cores this process may use."""
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
