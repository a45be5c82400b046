"""Makes small LeRobotDatasets: v2.0, v2.1, v3.0, with videos or images.

Every picture carries the number of its frame, over all episodes, in black and
white blocks that survive any codec: `number_in` reads it. `make` returns the
vectors that were written.
"""

import dataclasses
import io
import json
import os
import pathlib
from typing import Any

os.environ.setdefault("SVT_LOG", "1")  # errors alone

import av
import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

BITS = 12
TASKS = ("push the block", "lift the cube")
AV1 = ("libsvtav1", {"g": "2", "crf": "30", "preset": "12"})
H264 = ("libx264", {"g": "2", "crf": "23"})


@dataclasses.dataclass(frozen=True)
class Plan:
  """What to make; `cameras` says of each "video" or "image"."""

  version: str = "v3.0"
  lengths: tuple[int, ...] = (7, 5, 9)
  cameras: tuple[tuple[str, str], ...] = (("top", "video"), ("wrist", "video"))
  height: int = 64
  width: int = 96
  fps: int = 10
  state: int = 6
  action: int = 7
  codec: tuple[str, dict[str, str]] = AV1
  episodes_per_file: int = 2
  channels_first: bool = False
  faststart: bool = False
  picture_format: str = "PNG"
  video_fps: int | None = None


@dataclasses.dataclass
class Made:
  """What was written, by frame over all episodes."""

  root: pathlib.Path
  plan: Plan
  state: np.ndarray
  action: np.ndarray

  @property
  def starts(self) -> np.ndarray:
    return np.cumsum([0, *self.plan.lengths])[:-1]


def picture(number: int, camera: int, height: int, width: int) -> np.ndarray:
  """Returns a textured image with `number` in its upper rows."""
  y, x = np.mgrid[:height, :width]
  out = np.stack(
    [
      (x * 2 + number * 3) % 256,
      (y * 3 + camera * 80) % 256,
      (x + y + number * 5) % 256,
    ],
    axis=-1,
  ).astype(np.uint8)
  side = width // BITS
  for bit in range(BITS):
    out[: height // 4, bit * side : (bit + 1) * side] = (
      255 if number >> bit & 1 else 0
    )
  return out


def number_in(image: np.ndarray) -> int:
  """Returns the number that `picture` wrote into an image."""
  height, width = image.shape[:2]
  side = width // BITS
  return sum(
    1 << bit
    for bit in range(BITS)
    if image[: height // 4, bit * side : (bit + 1) * side].mean() > 127
  )


def make(root: pathlib.Path, plan: Plan | None = None) -> Made:
  """Writes the dataset into `root` and returns what is in it."""
  plan = plan or Plan()
  rng = np.random.default_rng(0)
  total = sum(plan.lengths)
  made = Made(
    root,
    plan,
    rng.normal(size=(total, plan.state)).astype(np.float32),
    rng.normal(size=(total, plan.action)).astype(np.float32),
  )
  _write_json(root / "meta/info.json", info(plan))
  if plan.version == "v3.0":
    _write_v3(made)
  else:
    _write_v2(made)
  return made


def key(camera: str) -> str:
  """Returns the name of the feature of a camera."""
  return f"observation.images.{camera}"


def info(plan: Plan) -> dict[str, Any]:
  """Returns the content of info.json."""
  features: dict[str, Any] = {}
  for name, kind in plan.cameras:
    shape = [plan.height, plan.width, 3]
    names = ["height", "width", "channel"]
    if plan.channels_first:
      shape, names = [3, *shape[:2]], ["channel", "height", "width"]
    features[key(name)] = {"dtype": kind, "shape": shape, "names": names}
    if kind == "video":
      features[key(name)]["info"] = {
        "video.fps": plan.fps,
        "video.height": plan.height,
        "video.width": plan.width,
        "video.channels": 3,
        "video.codec": "av1",
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "has_audio": False,
      }
  for name, size in (
    ("observation.state", plan.state),
    ("action", plan.action),
  ):
    names = {"motors": [f"{name[0]}{i}" for i in range(size)]}
    features[name] = {"dtype": "float32", "shape": [size], "names": names}
  features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
  for name in ("frame_index", "episode_index", "index", "task_index"):
    features[name] = {"dtype": "int64", "shape": [1], "names": None}
  number = len(plan.lengths)
  common = {
    "codebase_version": plan.version,
    "robot_type": "fake",
    "total_episodes": number,
    "total_frames": sum(plan.lengths),
    "total_tasks": len(TASKS),
    "chunks_size": 1000,
    "fps": plan.fps,
    "splits": {"train": f"0:{number}"},
  }
  if plan.version == "v3.0":
    return common | {
      "data_files_size_in_mb": 100,
      "video_files_size_in_mb": 200,
      "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
      "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/"
      "file-{file_index:03d}.mp4",
      "features": features,
    }
  return common | {
    "total_chunks": 1,
    "total_videos": number * len(plan.cameras),
    "data_path": "data/chunk-{episode_chunk:03d}/"
    "episode_{episode_index:06d}.parquet",
    "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/"
    "episode_{episode_index:06d}.mp4",
    "features": features,
  }


def table(made: Made, episode: int) -> pa.Table:
  """Returns the rows of one episode as they are stored."""
  plan = made.plan
  length, start = plan.lengths[episode], int(made.starts[episode])
  count = np.arange(length)
  columns: dict[str, Any] = {}
  for camera, (name, kind) in enumerate(plan.cameras):
    if kind == "image":
      columns[key(name)] = pa.array(
        [
          {"bytes": _encode(made, start + i, camera), "path": f"{i:06d}.png"}
          for i in range(length)
        ],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
      )
  for name, values in (
    ("observation.state", made.state),
    ("action", made.action),
  ):
    rows = values[start : start + length]
    columns[name] = (
      pa.FixedSizeListArray.from_arrays(rows.ravel(), rows.shape[1])
      if plan.version == "v3.0"
      else pa.array(rows.tolist(), pa.list_(pa.float32()))
    )
  columns["timestamp"] = (count / plan.fps).astype(np.float32)
  columns["frame_index"] = count
  columns["episode_index"] = np.full(length, episode)
  columns["index"] = start + count
  columns["task_index"] = np.full(length, episode % len(TASKS))
  return pa.table(columns)


def write_video(
  path: pathlib.Path, numbers: list[int], camera: int, plan: Plan
) -> None:
  """Writes the pictures of these frames as one MP4."""
  path.parent.mkdir(parents=True, exist_ok=True)
  name, options = plan.codec
  flags = {"movflags": "faststart"} if plan.faststart else {}
  with av.open(str(path), "w", options=flags) as container:
    stream = container.add_stream(
      name, rate=plan.video_fps or plan.fps, options=dict(options)
    )
    stream.pix_fmt = "yuv420p"
    stream.height, stream.width = plan.height, plan.width
    for number in numbers:
      image = picture(number, camera, plan.height, plan.width)
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def statistics(made: Made, episodes: list[int]) -> dict[str, Any]:
  """Returns the statistics of these episodes, as LeRobot nests them."""
  chosen = np.concatenate(
    [made.starts[e] + np.arange(made.plan.lengths[e]) for e in episodes]
  )
  out = {}
  for name, values in (
    ("observation.state", made.state),
    ("action", made.action),
  ):
    rows = values[chosen].astype(np.float64)
    out[name] = {
      "min": rows.min(0).tolist(),
      "max": rows.max(0).tolist(),
      "mean": rows.mean(0).tolist(),
      "std": rows.std(0).tolist(),
      "count": [len(rows)],
    }
  for name, _ in made.plan.cameras:
    out[key(name)] = {
      stat: [[[value]], [[value]], [[value]]]
      for stat, value in (
        ("min", 0.0),
        ("max", 1.0),
        ("mean", 0.5),
        ("std", 0.2),
      )
    } | {"count": [len(chosen)]}
  return out


def _encode(made: Made, number: int, camera: int) -> bytes:
  buffer = io.BytesIO()
  plan = made.plan
  image = picture(number, camera, plan.height, plan.width)
  Image.fromarray(image).save(buffer, plan.picture_format)
  return buffer.getvalue()


def _frames(made: Made, episodes: list[int]) -> list[int]:
  return [
    int(made.starts[e]) + i
    for e in episodes
    for i in range(made.plan.lengths[e])
  ]


def _write_v2(made: Made) -> None:
  root, plan = made.root, made.plan
  rows = []
  for episode, length in enumerate(plan.lengths):
    file = f"episode_{episode:06d}"
    path = root / f"data/chunk-000/{file}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table(made, episode), path)
    for camera, (name, kind) in enumerate(plan.cameras):
      if kind == "video":
        path = root / f"videos/chunk-000/{key(name)}/{file}.mp4"
        write_video(path, _frames(made, [episode]), camera, plan)
    task = TASKS[episode % len(TASKS)]
    rows.append({"episode_index": episode, "tasks": [task], "length": length})
  write_lines(root / "meta/episodes.jsonl", rows)
  write_lines(
    root / "meta/tasks.jsonl",
    [{"task_index": i, "task": task} for i, task in enumerate(TASKS)],
  )
  numbers = list(range(len(plan.lengths)))
  if plan.version == "v2.0":
    _write_json(root / "meta/stats.json", statistics(made, numbers))
    return
  write_lines(
    root / "meta/episodes_stats.jsonl",
    [{"episode_index": e, "stats": statistics(made, [e])} for e in numbers],
  )


def _write_v3(made: Made) -> None:
  root, plan = made.root, made.plan
  rows: list[dict[str, Any]] = []
  numbers = list(range(len(plan.lengths)))
  step = plan.episodes_per_file
  for file, first in enumerate(range(0, len(numbers), step)):
    members = numbers[first : first + step]
    path = root / f"data/chunk-000/file-{file:03d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with parquet.ParquetWriter(path, table(made, members[0]).schema) as writer:
      for episode in members:
        writer.write_table(table(made, episode))
    for camera, (name, kind) in enumerate(plan.cameras):
      if kind == "video":
        path = root / f"videos/{key(name)}/chunk-000/file-{file:03d}.mp4"
        write_video(path, _frames(made, members), camera, plan)
    begin = 0
    for episode in members:
      length, start = plan.lengths[episode], int(made.starts[episode])
      row = {
        "episode_index": episode,
        "tasks": [TASKS[episode % len(TASKS)]],
        "length": length,
        "data/chunk_index": 0,
        "data/file_index": file,
        "dataset_from_index": start,
        "dataset_to_index": start + length,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
      }
      for name, kind in plan.cameras:
        if kind == "video":
          row[f"videos/{key(name)}/chunk_index"] = 0
          row[f"videos/{key(name)}/file_index"] = file
          row[f"videos/{key(name)}/from_timestamp"] = begin / plan.fps
          row[f"videos/{key(name)}/to_timestamp"] = (begin + length) / plan.fps
      for feature, block in statistics(made, [episode]).items():
        for stat, values in block.items():
          row[f"stats/{feature}/{stat}"] = values
      rows.append(row)
      begin += length
  write_episodes(root, rows)
  _write_json(root / "meta/stats.json", statistics(made, numbers))
  write_tasks(root, "task")


def write_episodes(root: pathlib.Path, rows: list[dict[str, Any]]) -> None:
  """Writes the metadata of the episodes of a v3.0 dataset."""
  path = root / "meta/episodes/chunk-000/file-000.parquet"
  path.parent.mkdir(parents=True, exist_ok=True)
  parquet.write_table(pa.Table.from_pylist(rows), path)


def write_tasks(root: pathlib.Path, column: str) -> None:
  """Writes tasks.parquet as pandas does with the text as the index."""
  index = pa.array(range(len(TASKS)), pa.int64())
  data = pa.table({"task_index": index, column: pa.array(TASKS)})
  column_of = {
    "name": "task_index",
    "field_name": "task_index",
    "pandas_type": "int64",
    "numpy_type": "int64",
    "metadata": None,
  }
  pandas = {
    "index_columns": [column],
    "column_indexes": [],
    "columns": [
      column_of,
      {
        "name": None if column.startswith("__") else column,
        "field_name": column,
        "pandas_type": "unicode",
        "numpy_type": "object",
        "metadata": None,
      },
    ],
    "pandas_version": "2.0.0",
  }
  schema = data.schema.with_metadata({"pandas": json.dumps(pandas)})
  parquet.write_table(data.cast(schema), root / "meta/tasks.parquet")


def write_lines(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
  """Writes one JSON object a line."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write_json(path: pathlib.Path, value: Any) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(value, indent=2))
