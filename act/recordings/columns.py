"""Columns of numbers in the Parquet files of a LeRobotDataset.

Letters: D dimensions, F frames of an episode.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from act.recordings import lerobot_episode, lerobot_info, parquet
from carnet import errors

# Older files have these in no fixed order, and some sets lack a few.
_COUNTERS = ("episode_index", "frame_index", "timestamp", "task_index")
# what policies see and do; a reward, say, may be missing
_SEEN = ("action", "observation")
_LATE = 0.5  # of a frame; more between timestamp and frame_index is noted


@dataclasses.dataclass(frozen=True)
class Rows:
  """What the data file says of one episode; `first` is its first row there."""

  first: int
  vectors: Mapping[str, Float[np.ndarray, "F D"]]
  tasks: tuple[int, ...]
  notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Ragged:
  """A column: all its numbers, and where those of each row begin."""

  values: np.ndarray
  offsets: Int[np.ndarray, " offsets"]

  def rows(self, first: int, count: int, size: int) -> np.ndarray:
    """Returns `count` rows of `size` numbers; ValueError if they have not."""
    offsets = self.offsets[first : first + count + 1]
    widths = np.unique(np.diff(offsets))
    if widths.tolist() != [size]:
      found = ", ".join(map(str, widths.tolist()[:5]))
      raise ValueError(f"{found} numbers a frame, info.json says {size}")
    return self.values[offsets[0] : offsets[-1]].reshape(count, size)


def read(
  info: lerobot_info.Info,
  episodes: Sequence[lerobot_episode.Episode],
  tasks: Mapping[int, str],
  ledger: lerobot_episode.Ledger,
) -> dict[int, Rows]:
  """Returns the rows of each episode, less what the ledger left out."""
  files: dict[str, list[lerobot_episode.Episode]] = {}
  for episode in episodes:
    files.setdefault(episode.data, []).append(episode)
  out = {}
  for name, members in files.items():
    try:
      columns = _columns(info, name)
    except errors.UserError as error:
      for episode in members:
        ledger.add(episode.number, str(error))
      continue
    for episode in members:
      try:
        out[episode.number] = _rows(info, episode, columns, tasks)
      except ValueError as error:
        ledger.add(episode.number, f"{info.root / name}: {error}")
  return out


def _columns(info: lerobot_info.Info, name: str) -> dict[str, _Ragged]:
  with parquet.open_file(info.root, name, info.total_frames) as file:
    there = file.schema_arrow.names
    images = [n for n, c in info.cameras.items() if c.kind == "image"]
    if lacking := [n for n in (*info.vectors, *images) if n not in there]:
      raise errors.UserError(
        f"{info.root / name}: no column {', '.join(map(repr, lacking[:5]))}; "
        f"it has {', '.join(there)[:300]}"
      )
    counters = [key for key in _COUNTERS if key in there]
    wanted = [*info.vectors, *counters]
    table = parquet.read(info.root, name, file, wanted)
    try:
      return {key: _ragged(table.column(key)) for key in wanted}
    except (ValueError, TypeError, NotImplementedError) as error:
      raise errors.UserError(
        f"{info.root / name}: {' '.join(str(error).split())[:200]}"
      ) from error


def _ragged(column: Any) -> _Ragged:
  """Returns a column of numbers, or of lists of them, however deep."""
  import pyarrow

  array = column.combine_chunks()
  if isinstance(array, pyarrow.ChunkedArray):  # before pyarrow 22 or when empty
    array = pyarrow.concat_arrays(array.chunks)
  offsets = np.arange(len(array) + 1, dtype=np.int64)
  while True:
    if isinstance(array, pyarrow.ExtensionArray):
      array = array.storage
    kind = array.type
    if pyarrow.types.is_fixed_size_list(kind):
      rows = pyarrow.large_list(kind.value_type)
      # a row that is null becomes one without numbers
      array = (
        pyarrow.array(array.to_pylist(), rows)
        if array.null_count
        else array.cast(rows)
      )
      kind = array.type
    if not pyarrow.types.is_list(kind) and not pyarrow.types.is_large_list(
      kind
    ):
      break
    inner = array.offsets.to_numpy().astype(np.int64)
    array, inner = array.values.slice(inner[0]), inner - inner[0]
    offsets = inner[offsets]
  if pyarrow.types.is_boolean(kind):
    array = array.cast(pyarrow.uint8())
  elif not pyarrow.types.is_integer(kind) and not pyarrow.types.is_floating(
    kind
  ):
    raise TypeError(f"a column of {kind}, not of numbers")
  return _Ragged(array.to_numpy(zero_copy_only=False), offsets)


def _rows(
  info: lerobot_info.Info,
  episode: lerobot_episode.Episode,
  columns: Mapping[str, _Ragged],
  tasks: Mapping[int, str],
) -> Rows:
  first = _first_row(info, episode, columns)
  vectors, notes = {}, []
  for name, vector in info.vectors.items():
    try:
      values = columns[name].rows(first, episode.length, vector.size)
    except ValueError as error:
      raise ValueError(f"'{name}' has {error}") from error
    with np.errstate(over="ignore"):
      vectors[name] = values.astype(np.float32)
    sound = np.isfinite(vectors[name]).all(1)
    if not sound.all():
      reason = (
        f"'{name}' of frame {int(np.argmin(sound))} is not finite in float32 "
        f"({np.count_nonzero(~sound)} of {episode.length} frames)"
      )
      if name.startswith(_SEEN):
        raise ValueError(reason)
      notes.append(f"episode {episode.number}: {reason}")
  return Rows(
    first=first,
    vectors=vectors,
    tasks=_tasks(_counter(columns, "task_index", first, episode), tasks),
    notes=(*notes, *_check_time(info, episode, columns, first)),
  )


def _first_row(
  info: lerobot_info.Info,
  episode: lerobot_episode.Episode,
  columns: Mapping[str, _Ragged],
) -> int:
  if "episode_index" not in columns:
    if info.version == "v3.0":
      raise ValueError("no column 'episode_index'")
    rows = np.arange(len(next(iter(columns.values())).offsets) - 1)
  else:
    numbers = columns["episode_index"]
    rows = np.flatnonzero(numbers.rows(0, _count(numbers), 1) == episode.number)
    if info.version != "v3.0" and len(rows) != _count(numbers):
      raise ValueError(f"rows of other episodes than {episode.number}")
  if len(rows) != episode.length:
    raise ValueError(f"{len(rows)} frames, the metadata say {episode.length}")
  if rows[-1] - rows[0] + 1 != len(rows):
    raise ValueError("its frames are not one after the other")
  return int(rows[0])


def _count(column: _Ragged) -> int:
  return len(column.offsets) - 1


def _counter(
  columns: Mapping[str, _Ragged],
  name: str,
  first: int,
  episode: lerobot_episode.Episode,
) -> np.ndarray | None:
  if name not in columns:
    return None
  return columns[name].rows(first, episode.length, 1)[:, 0]


def _tasks(
  indices: np.ndarray | None, tasks: Mapping[int, str]
) -> tuple[int, ...]:
  """Returns the tasks of an episode, in the order in which they come."""
  if indices is None:
    return ()
  found, places = np.unique(indices, return_index=True)
  for index in found.tolist():
    if tasks and index not in tasks:
      raise ValueError(f"task {index}, there are {len(tasks)}")
  return tuple(int(i) for i in found[np.argsort(places)])


def _check_time(
  info: lerobot_info.Info,
  episode: lerobot_episode.Episode,
  columns: Mapping[str, _Ragged],
  first: int,
) -> tuple[str, ...]:
  """Returns remarks on timestamps; ValueError when frames do not count up."""
  count = np.arange(episode.length)
  frames = _counter(columns, "frame_index", first, episode)
  if frames is not None and not np.array_equal(frames, count):
    place = int(np.argmax(frames != count))
    raise ValueError(f"frame_index is {frames[place]} at frame {place}")
  times = _counter(columns, "timestamp", first, episode)
  if times is None:
    return ()
  late = np.abs(times.astype(np.float64) - count / info.fps).max() * info.fps
  if late <= _LATE:
    return ()
  return (
    f"episode {episode.number}: timestamps are up to {late:.3g} frames from "
    "frame_index / fps; frames are chosen by index",
  )


def stack(
  parts: Iterable[Rows], name: str, size: int
) -> Float[np.ndarray, "F D"]:
  """Returns one vector of several episodes, one after the other."""
  arrays = [part.vectors[name] for part in parts]
  return np.concatenate(arrays) if arrays else np.zeros((0, size), np.float32)
