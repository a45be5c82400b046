"""Metadata of LeRobotDataset v3.0: Parquet, several episodes a file."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from act.recordings import (
  inside,
  lerobot_episode,
  lerobot_info,
  lerobot_v2,
  parquet,
)
from carnet import errors

EPISODES = "meta/episodes"
TASKS = "meta/tasks.parquet"
_TEXT = ("task", "__index_level_0__")
_STATISTICS = "stats/"
_MOST_INDEX = 1 << 31

Row = Mapping[str, Any]


def episodes(
  info: lerobot_info.Info,
  cameras: Iterable[str],
  count: int,
  ledger: lerobot_episode.Ledger,
) -> list[lerobot_episode.Episode]:
  """Returns the first `count` episodes, less what the ledger left out."""
  videos = [n for n in cameras if info.cameras[n].kind == "video"]
  rows: dict[int, tuple[str, Row]] = {}
  for name, row in _rows(info, lambda key: not key.startswith(_STATISTICS)):
    number = row.get("episode_index")
    if type(number) is not int or not 0 <= number < _MOST_INDEX:
      raise errors.UserError(
        f"{info.root / name}: episode_index {repr(number)[:40]}"
      )
    if number in rows:
      raise errors.UserError(
        f"{info.root / name}: episode {number} is listed twice"
      )
    rows[number] = (name, row)
  if len(rows) != info.total_episodes:
    raise info.fault(
      f"total_episodes is {info.total_episodes}, {EPISODES} lists {len(rows)}"
    )
  out = []
  for number in sorted(rows)[:count]:
    name, row = rows[number]
    try:
      out.append(_episode(info, row, number, videos))
    except ValueError as error:
      ledger.add(number, f"{info.root / name}: {error}")
  return _without_overlaps(info, out, rows, videos, ledger)


def tasks(info: lerobot_info.Info) -> dict[int, str]:
  """Returns the text of each task, by its index."""
  if not inside.is_there(info.root, TASKS):
    return {}
  with parquet.open_file(info.root, TASKS, info.total_frames) as file:
    names = set(file.schema_arrow.names)
    text = next((name for name in _TEXT if name in names), None)
    if text is None or "task_index" not in names:
      raise errors.UserError(
        f"{info.root / TASKS}: columns {', '.join(sorted(names))[:100]}, not "
        "task_index and task"
      )
    table = parquet.read(info.root, TASKS, file, ["task_index", text])
  return {
    row["task_index"]: str(row[text])
    for row in parquet.to_rows(info.root, TASKS, table)
    if isinstance(row["task_index"], int)
  }


def statistics(
  info: lerobot_info.Info, numbers: Sequence[int]
) -> list[dict[str, dict[str, Any]]]:
  """Returns what is stored of each of these episodes: feature -> name."""
  used, out = set(numbers), []
  for _, row in _rows(
    info, lambda key: key == "episode_index" or key.startswith(_STATISTICS)
  ):
    if row["episode_index"] not in used:
      continue
    stats: dict[str, dict[str, Any]] = {}
    for key, value in row.items():
      if key.startswith(_STATISTICS):
        feature, _, name = key.removeprefix(_STATISTICS).rpartition("/")
        stats.setdefault(feature, {})[name] = value
    out.append(stats)
  return out


def _rows(info: lerobot_info.Info, wanted: Any) -> list[tuple[str, Row]]:
  """Returns the rows of the metadata, each with the file it comes from."""
  names = [
    name
    for name in inside.names(info.root, EPISODES)
    if name.endswith(".parquet")
  ]
  if not names:
    raise errors.UserError(
      f"{info.root / EPISODES}: no Parquet file: the copy is not complete"
    )
  out: list[tuple[str, Row]] = []
  for name in names:
    with parquet.open_file(info.root, name, info.total_episodes) as file:
      keys = [key for key in file.schema_arrow.names if wanted(key)]
      table = parquet.read(info.root, name, file, keys)
    out += [(name, row) for row in parquet.to_rows(info.root, name, table)]
  return out


def _episode(
  info: lerobot_info.Info, row: Row, number: int, videos: Iterable[str]
) -> lerobot_episode.Episode:
  length = row.get("length")
  if type(length) is not int or not 1 < length <= info.total_frames:
    raise ValueError(lerobot_v2.unfit_length(length))
  begin, end = row.get("dataset_from_index"), row.get("dataset_to_index")
  if begin is not None or end is not None:
    if type(begin) is not int or type(end) is not int or begin < 0:
      raise ValueError(f"frames {begin} to {end}")
    if end - begin != length:
      raise ValueError(f"frames {begin} to {end}, a length of {length}")
  told = row.get("tasks")
  return lerobot_episode.Episode(
    number=number,
    length=length,
    tasks=tuple(map(str, told)) if isinstance(told, list) else (),
    data=info.place(info.data_path, **_file(row, "data")),
    clips={name: _clip(info, row, name, length) for name in videos},
  )


def _clip(
  info: lerobot_info.Info, row: Row, camera: str, length: int
) -> lerobot_episode.Clip:
  key = f"videos/{camera}"
  begin, end = (_seconds(row, f"{key}/{s}_timestamp") for s in ("from", "to"))
  if not 0 <= begin < end or end * info.fps > _MOST_INDEX:
    raise ValueError(f"camera '{camera}' from {begin} to {end} s")
  frames = round((end - begin) * info.fps)
  if frames < length:
    raise ValueError(
      f"camera '{camera}' has {frames} frames from {begin:g} to {end:g} s, the "
      f"episode {length}"
    )
  return lerobot_episode.Clip(
    info.place(info.video_path, video_key=camera, **_file(row, key)),
    round(begin * info.fps),
  )


def _seconds(row: Row, key: str) -> float:
  value = row.get(key)
  if not isinstance(value, int | float) or not math.isfinite(value):
    raise ValueError(f"{key} is {repr(value)[:40]}")
  return float(value)


def _file(row: Row, key: str) -> dict[str, int]:
  fields = {}
  for name in ("chunk_index", "file_index"):
    value = row.get(f"{key}/{name}")
    if type(value) is not int or not 0 <= value < _MOST_INDEX:
      raise ValueError(f"{key}/{name} is {repr(value)[:40]}")
    fields[name] = value
  return fields


def _without_overlaps(
  info: lerobot_info.Info,
  found: list[lerobot_episode.Episode],
  rows: Mapping[int, tuple[str, Row]],
  videos: Iterable[str],
  ledger: lerobot_episode.Ledger,
) -> list[lerobot_episode.Episode]:
  """Returns the episodes whose frames no earlier one has."""
  ranges = []
  for episode in found:
    begin = rows[episode.number][1].get("dataset_from_index")
    if begin is not None:
      ranges.append(("", "the data", begin, episode))
    for name in videos:
      clip = episode.clips[name]
      ranges.append((name, clip.path, clip.first, episode))
  ranges.sort(key=lambda r: (r[0], r[1], r[2], r[3].number))
  before = None
  for camera, path, begin, episode in ranges:
    if before and before[:2] == (camera, path) and begin < before[2]:
      where = info.root / rows[episode.number][0]
      ledger.add(
        episode.number,
        f"{where}: starts at frame {begin} of {path}, which is one of episode "
        f"{before[3]}",
      )
    else:
      before = (camera, path, begin + episode.length, episode.number)
  return [episode for episode in found if episode.number not in ledger]
