"""Turns finished videos into a LeRobotDataset: tables, statistics, metadata."""

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
  sound = [i for i, fact in enumerate(facts.values()) if "reason" not in fact]
  if not sound:
    raise errors.UserError(f"{found.origin}: no sound episode to export")
  kept = [fact for fact in facts.values() if "reason" not in fact]
  codec = settings["codec"]
  features = lerobot_plan.features(plan, found, codec)
  columns = [_columns(found, plan, index, i) for i, index in enumerate(sound)]
  _number(columns)
  counts = [
    {name: fact[f"counts/{camera}"] for name, camera in plan.cameras.items()}
    for fact in kept
  ]
  with storage.naming_a_full_disk(root):
    (root / "meta").mkdir(parents=True)
    rows: list[Row] = [
      {
        "episode_index": i,
        "tasks": [plan.tasks[plan.task_indices[index]]],
        "length": int(found.lengths[index]),
      }
      for i, index in enumerate(sound)
    ]
    _write_data(root, features, columns, rows)
    numbers = found.episodes[sound].tolist()
    for order, feature in enumerate(plan.cameras):
      parts = [export_workers.video_path(work, x, order) for x in numbers]
      _write_videos(root, feature, parts, plan.fps, rows)
    _write_episodes(root, columns, counts, rows)
    lerobot_tables.write_tasks(root / "meta/tasks.parquet", plan.tasks)
    whole = {
      name: np.concatenate([episode[name] for episode in columns])
      for name in columns[0]
    }
    storage.write_json(
      root / "meta/stats.json",
      lerobot_statistics.of(
        whole,
        {x: np.sum([count[x] for count in counts], axis=0) for x in counts[0]},
        [row["length"] for row in rows],
      ),
    )
    _write_info(root, plan, features, rows)
    source = caching_completion.source_of(found, facts)
    storage.write_json(root / SOURCE, {"export": settings, "source": source})
    (root / "README.md").write_text(_card(found, plan, settings["repo_id"]))


def _columns(
  found: base.Recording, plan: lerobot_plan.Plan, index: int, episode: int
) -> dict[str, np.ndarray]:
  first, length = int(found.first_frames[index]), int(found.lengths[index])
  frames = np.arange(length)
  return {
    **{x: v[first : first + length] for x, v in plan.vectors.items()},
    "timestamp": (frames / plan.fps).astype(np.float32),
    "frame_index": frames,
    "episode_index": np.full(length, episode),
    "index": frames,  # and what comes before it, see `_number`
    "task_index": np.full(length, plan.task_indices[index]),
  }


def _number(columns: list[dict[str, np.ndarray]]) -> None:
  first = 0
  for episode in columns:
    episode["index"] = episode["index"] + first
    first += len(episode["index"])


def _write_data(
  root: pathlib.Path,
  features: Mapping[str, Any],
  columns: list[dict[str, np.ndarray]],
  rows: list[Row],
) -> None:
  schema = lerobot_tables.schema(features)
  tables = [lerobot_tables.table(episode, schema) for episode in columns]
  sizes = [table.nbytes for table in tables]
  first = 0
  for place, members in _files(sizes, _DATA_MEGABYTES):
    path = root / _DATA_PATH.format(**place)
    writer = lerobot_tables.DataWriter(path, schema)
    for episode in members:
      writer.add(tables[episode])
      rows[episode] |= {f"data/{name}": x for name, x in place.items()}
      rows[episode]["dataset_from_index"] = first
      first += rows[episode]["length"]
      rows[episode]["dataset_to_index"] = first
    writer.close()


def _write_videos(
  root: pathlib.Path,
  feature: str,
  parts: list[pathlib.Path],
  fps: int,
  rows: list[Row],
) -> None:
  sizes = [part.stat().st_size for part in parts]
  for place, members in _files(sizes, _VIDEO_MEGABYTES):
    path = root / _VIDEO_PATH.format(video_key=feature, **place)
    path.parent.mkdir(parents=True, exist_ok=True)
    lengths = [int(rows[episode]["length"]) for episode in members]
    videos.concatenate([parts[x] for x in members], path, lengths, fps)
    first = 0
    for episode, length in zip(members, lengths, strict=True):
      rows[episode] |= {
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


def _write_episodes(
  root: pathlib.Path,
  columns: list[dict[str, np.ndarray]],
  counts: list[dict[str, np.ndarray]],
  rows: list[Row],
) -> None:
  for row, episode, count in zip(rows, columns, counts, strict=True):
    table = lerobot_statistics.of(episode, count, [row["length"]])
    for feature, block in table.items():
      row |= {f"stats/{feature}/{name}": x for name, x in block.items()}
    row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
  lerobot_tables.write_episodes(root / _EPISODES_PATH, rows)


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
