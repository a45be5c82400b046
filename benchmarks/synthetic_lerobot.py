"""A LeRobotDataset v3.0 to measure with: pictures as a camera makes them.

A textured background moves slowly, a square moves in front of it, and every
pixel has noise: flat colours would cost a decoder nothing. What LeRobot gives
its encoder is given here: AV1, a keyframe every second frame, crf 30.
"""

import io
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

FPS = 30
CAMERAS = ("observation.images.top", "observation.images.wrist")
_CODEC = "libsvtav1"
_ENCODING = {"g": "2", "crf": "30", "preset": "12"}
# of 255: a webcam in a lit room; 11 kB a frame come out
_NOISE = 1.7
_CELLS = (1, 2, 4, 8, 16, 32, 64)  # pixels


def scene(
  frames: int, height: int, width: int, seed: int
) -> Iterator[np.ndarray]:
  """Yields images [H, W, 3] of a moving scene."""
  rng = np.random.default_rng(seed)
  background = np.zeros((2 * height, 2 * width, 3))
  for cell in _CELLS:
    rows, columns = (2 * side // cell + 1 for side in (height, width))
    coarse = rng.normal(size=(rows, columns, 3)) * cell**0.9
    fine = coarse.repeat(cell, 0).repeat(cell, 1)
    background += fine[: 2 * height, : 2 * width]
  background -= background.min()
  background *= 255 / background.max()
  side = height // 6
  square = rng.integers(0, 255, (side, side, 3))
  for t in range(frames):
    y = int((height - side) * (0.5 + 0.4 * np.sin(t / 25)))
    x = int((width - side) * (0.5 + 0.4 * np.cos(t / 40)))
    shift = t // 4 % height
    image = background[shift : shift + height, shift : shift + width].copy()
    image[y : y + side, x : x + side] = square
    image += rng.normal(size=(height, width, 1)) * _NOISE
    yield np.clip(image, 0, 255).astype(np.uint8)


def write(
  root: pathlib.Path,
  kind: Literal["video", "image"],
  episodes: int,
  length: int,
  height: int,
  width: int,
) -> None:
  """Writes a dataset of two cameras, six joints and seven actions."""
  import pyarrow as pa
  from pyarrow import parquet

  total = episodes * length
  for name in ("meta/episodes/chunk-000", "data/chunk-000"):
    (root / name).mkdir(parents=True)
  _write_info(root, kind, episodes, total, height, width)
  rows = [_episode(number, length, kind) for number in range(episodes)]
  parquet.write_table(
    pa.Table.from_pylist(rows),
    root / "meta/episodes/chunk-000/file-000.parquet",
  )
  parquet.write_table(
    pa.table({"task_index": [0], "task": ["move the square"]}),
    root / "meta/tasks.parquet",
  )
  scenes = [scene(total, height, width, seed) for seed in range(len(CAMERAS))]
  if kind == "video":
    for camera, images in zip(CAMERAS, scenes, strict=True):
      _write_video(root, camera, images, height, width)
  writer = None
  for number in range(episodes):
    table = _rows(number, length, scenes if kind == "image" else [])
    if writer is None:
      path = root / "data/chunk-000/file-000.parquet"
      writer = parquet.ParquetWriter(path, table.schema)
    writer.write_table(table)
  if writer:
    writer.close()


def _write_info(
  root: pathlib.Path,
  kind: str,
  episodes: int,
  total: int,
  height: int,
  width: int,
) -> None:
  vector = {"dtype": "float32", "names": None}
  features: dict[str, Any] = {
    name: {"dtype": kind, "shape": [height, width, 3], "names": None}
    for name in CAMERAS
  }
  features["observation.state"] = {**vector, "shape": [6]}
  features["action"] = {**vector, "shape": [7]}
  (root / "meta/info.json").write_text(
    json.dumps(
      {
        "codebase_version": "v3.0",
        "fps": FPS,
        "total_episodes": episodes,
        "total_frames": total,
        "features": features,
      }
    )
  )


def _episode(number: int, length: int, kind: str) -> dict[str, Any]:
  row: dict[str, Any] = {
    "episode_index": number,
    "length": length,
    "tasks": ["move the square"],
    "data/chunk_index": 0,
    "data/file_index": 0,
    "dataset_from_index": number * length,
    "dataset_to_index": (number + 1) * length,
  }
  for camera in CAMERAS if kind == "video" else ():
    row[f"videos/{camera}/chunk_index"] = 0
    row[f"videos/{camera}/file_index"] = 0
    row[f"videos/{camera}/from_timestamp"] = number * length / FPS
    row[f"videos/{camera}/to_timestamp"] = (number + 1) * length / FPS
  return row


def _rows(number: int, length: int, scenes: list[Iterator[np.ndarray]]) -> Any:
  import pyarrow as pa

  rng = np.random.default_rng(number)
  count = np.arange(length)
  columns: dict[str, Any] = {
    name: pa.FixedSizeListArray.from_arrays(
      rng.normal(size=length * size).astype(np.float32), size
    )
    for name, size in (("observation.state", 6), ("action", 7))
  }
  columns["timestamp"] = (count / FPS).astype(np.float32)
  columns["frame_index"] = count
  columns["episode_index"] = np.full(length, number)
  columns["index"] = number * length + count
  columns["task_index"] = np.zeros(length, np.int64)
  for camera, images in zip(CAMERAS, scenes, strict=False):
    columns[camera] = pa.array(
      [{"bytes": _png(next(images)), "path": None} for _ in range(length)],
      pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
  return pa.table(columns)


def _png(image: np.ndarray) -> bytes:
  from PIL import Image

  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "PNG", compress_level=1)
  return buffer.getvalue()


def _write_video(
  root: pathlib.Path,
  camera: str,
  images: Iterator[np.ndarray],
  height: int,
  width: int,
) -> None:
  os.environ.setdefault("SVT_LOG", "1")  # errors alone
  import av

  path = root / f"videos/{camera}/chunk-000/file-000.mp4"
  path.parent.mkdir(parents=True)
  with av.open(str(path), "w") as container:
    stream: Any = container.add_stream(
      _CODEC, rate=FPS, options=dict(_ENCODING)
    )
    stream.pix_fmt, stream.height, stream.width = "yuv420p", height, width
    for image in images:
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
