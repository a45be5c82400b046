"""Turns finished videos into a LeRobotDataset: tables, statistics, metadata."""

import dataclasses
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import carnet
from act import storage
from act.recordings import (
  base,
  caching_completion,
  lerobot_plan,
  lerobot_statistics,
  lerobot_tables,
)
from act.recordings import lerobot_export_workers as export_workers
from act.recordings import lerobot_video_writer as videos
from carnet import errors

SOURCE = pathlib.PurePath("meta/carnet.json")
# `lerobot.datasets.utils`
_FILES_A_CHUNK = 1000
_DATA_MEGABYTES = 100
_VIDEO_MEGABYTES = 200
_CHUNK = "chunk-{chunk_index:03d}/file-{file_index:03d}"
_DATA_PATH = f"data/{_CHUNK}.parquet"
_VIDEO_PATH = f"videos/{{video_key}}/{_CHUNK}.mp4"
_EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Episode:
  """A sound episode: its row of meta/episodes, its columns, its pictures."""

  number: int  # in the source
  row: Row
  columns: dict[str, np.ndarray]
  counts: dict[str, np.ndarray]


def complete(
  root: pathlib.Path,
  work: pathlib.Path,
  found: base.Recording,
  plan: lerobot_plan.Plan,
  settings: dict[str, Any],
) -> None:
  """Writes the whole dataset into `root`, of what lies in `work`."""
  shutil.rmtree(root, ignore_errors=True)  # of a run that was killed
  facts = {
    number: storage.read_arrays(export_workers.facts_path(work, number))
    for number in found.episodes.tolist()
  }
  episodes = _sound(found, plan, facts)
  features = lerobot_plan.features(plan, found, settings["codec"])
  with storage.naming_a_full_disk(root):
    (root / "meta").mkdir(parents=True)
    _write_data(root, features, episodes)
    for order, feature in enumerate(plan.cameras):
      parts = [
        export_workers.video_path(work, episode.number, order)
        for episode in episodes
      ]
      _write_videos(root, feature, parts, plan.fps, episodes)
    _write_episodes(root, episodes)
    _write_statistics(root, episodes)
    lerobot_tables.write_tasks(root / "meta/tasks.parquet", plan.tasks)
    _write_info(root, plan, features, [x.row for x in episodes])
    source = caching_completion.source_of(found, facts)
    storage.write_json(root / SOURCE, {"export": settings, "source": source})
    (root / "README.md").write_text(_card(found, plan, settings["repo_id"]))


def _sound(
  found: base.Recording,
  plan: lerobot_plan.Plan,
  facts: Mapping[int, Mapping[str, np.ndarray]],
) -> list[_Episode]:
  episodes: list[_Episode] = []
  first = 0
  for index, (number, fact) in enumerate(facts.items()):
    if "reason" in fact:
      continue
    columns = _columns(found, plan, index, len(episodes), first)
    row: Row = {
      "episode_index": len(episodes),
      "tasks": [plan.tasks[plan.task_indices[index]]],
      "length": int(found.lengths[index]),
    }
    counts = {
      name: fact[f"counts/{camera}"] for name, camera in plan.cameras.items()
    }
    episodes.append(_Episode(number, row, columns, counts))
    first += row["length"]
  if not episodes:
    raise errors.UserError(f"{found.origin}: no sound episode to export")
  return episodes


def _columns(
  found: base.Recording,
  plan: lerobot_plan.Plan,
  index: int,
  episode: int,
  first_row: int,
) -> dict[str, np.ndarray]:
  first, length = int(found.first_frames[index]), int(found.lengths[index])
  frames = np.arange(length)
  return {
    **{x: v[first : first + length] for x, v in plan.vectors.items()},
    "timestamp": (frames / plan.fps).astype(np.float32),
    "frame_index": frames,
    "episode_index": np.full(length, episode),
    "index": first_row + frames,
    "task_index": np.full(length, plan.task_indices[index]),
  }


def _write_data(
  root: pathlib.Path, features: Mapping[str, Any], episodes: list[_Episode]
) -> None:
  schema = lerobot_tables.schema(features)
  tables = [lerobot_tables.table(x.columns, schema) for x in episodes]
  sizes = [table.nbytes for table in tables]
  first = 0
  for place, members in _files(sizes, _DATA_MEGABYTES):
    path = root / _DATA_PATH.format(**place)
    writer = lerobot_tables.DataWriter(path, schema)
    for index in members:
      writer.add(tables[index])
      row = episodes[index].row
      row |= {f"data/{name}": x for name, x in place.items()}
      row["dataset_from_index"] = first
      first += row["length"]
      row["dataset_to_index"] = first
    writer.close()


def _write_videos(
  root: pathlib.Path,
  feature: str,
  parts: list[pathlib.Path],
  fps: int,
  episodes: list[_Episode],
) -> None:
  sizes = [part.stat().st_size for part in parts]
  for place, members in _files(sizes, _VIDEO_MEGABYTES):
    path = root / _VIDEO_PATH.format(video_key=feature, **place)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [episodes[index].row for index in members]
    lengths = [int(row["length"]) for row in rows]
    videos.concatenate([parts[x] for x in members], path, lengths, fps)
    first = 0
    for row, length in zip(rows, lengths, strict=True):
      row |= {
        **{f"videos/{feature}/{name}": x for name, x in place.items()},
        f"videos/{feature}/from_timestamp": first / fps,
        f"videos/{feature}/to_timestamp": (first + length) / fps,
      }
      first += length


def _files(
  sizes: list[int], megabytes: int | float
) -> Iterator[tuple[dict[str, int], list[int]]]:
  """Yields the place of each file and the episodes that it holds."""
  groups: list[list[int]] = [[]]
  size = 0
  for episode, more in enumerate(sizes):
    if groups[-1] and size + more >= megabytes * 2**20:
      groups.append([])
      size = 0
    groups[-1].append(episode)
    size += more
  for number, members in enumerate(groups):
    chunk, file = divmod(number, _FILES_A_CHUNK)
    yield {"chunk_index": chunk, "file_index": file}, members


def _write_episodes(root: pathlib.Path, episodes: list[_Episode]) -> None:
  rows = []
  for episode in episodes:
    lengths = [episode.row["length"]]
    table = lerobot_statistics.of(episode.columns, episode.counts, lengths)
    stats = {
      f"stats/{feature}/{name}": value
      for feature, block in table.items()
      for name, value in block.items()
    }
    place = {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
    rows.append(episode.row | stats | place)
  lerobot_tables.write_episodes(root / _EPISODES_PATH, rows)


def _write_statistics(root: pathlib.Path, episodes: list[_Episode]) -> None:
  columns = {
    name: np.concatenate([episode.columns[name] for episode in episodes])
    for name in episodes[0].columns
  }
  counts = {
    name: np.sum([episode.counts[name] for episode in episodes], axis=0)
    for name in episodes[0].counts
  }
  lengths = [episode.row["length"] for episode in episodes]
  storage.write_json(
    root / "meta/stats.json", lerobot_statistics.of(columns, counts, lengths)
  )


def _write_info(
  root: pathlib.Path,
  plan: lerobot_plan.Plan,
  features: Mapping[str, Any],
  rows: list[Row],
) -> None:
  storage.write_json(
    root / "meta/info.json",
    {
      "codebase_version": "v3.0",
      "fps": plan.fps,
      "features": features,
      "total_episodes": len(rows),
      "total_frames": rows[-1]["dataset_to_index"],
      "total_tasks": len(plan.tasks),
      "chunks_size": _FILES_A_CHUNK,
      "data_files_size_in_mb": _DATA_MEGABYTES,
      "video_files_size_in_mb": _VIDEO_MEGABYTES,
      "data_path": _DATA_PATH,
      "video_path": _VIDEO_PATH if plan.cameras else None,
      "robot_type": plan.robot_type,
      "splits": {"train": f"0:{len(rows)}"},
    },
    sort_keys=False,  # LeRobot takes the cameras in this order
  )


def _card(found: base.Recording, plan: lerobot_plan.Plan, repo_id: str) -> str:
  name = repo_id or found.identity
  return "\n".join(
    [
      "---",
      "task_categories:",
      "- robotics",
      "tags:",
      "- LeRobot",
      "configs:",
      "- config_name: default",
      "  data_files: data/*/*.parquet",
      "---",
      "",
      f"# {name}",
      "",
      f"A LeRobotDataset v3.0 of {plan.fps} frames a second, written by carnet",
      f"{carnet.__version__} from {found.identity} ({found.format}).",
      "",
    ]
  )
