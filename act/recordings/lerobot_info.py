"""meta/info.json of a LeRobotDataset: what is in it and where it lies.

Everything is checked before anything is opened: a dataset from a hub is
somebody else's file.
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from act.recordings import inside
from carnet import errors, paths

FILE = "meta/info.json"
VERSIONS = ("v2.0", "v2.1", "v3.0")
# columns that LeRobot writes beside the features of the robot
IMPLICIT = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_NUMBERS = re.compile(r"(float|u?int)(8|16|32|64)|bool")
_WITHOUT_NUMBERS = ("string", "language", "audio")
_MOST_EPISODES, _MOST_FRAMES, _LARGEST_SIDE = 10**7, 10**9, 1 << 15
_WIDEST_VECTOR = 1 << 16
_DEFAULTS = {
  "v2": (
    "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "videos/chunk-{episode_chunk:03d}/{video_key}/"
    "episode_{episode_index:06d}.mp4",
  ),
  "v3": (
    "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
  ),
}
_FIELD = re.compile(r"\{(\w+)(?::0?([1-9]))?(?:d)?\}")


@dataclasses.dataclass(frozen=True)
class Vector:
  """A feature of numbers: how many a frame, and their names if known."""

  size: int
  names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Camera:
  """A feature of pictures, in "image" columns or "video" files."""

  kind: str
  height: int
  width: int


@dataclasses.dataclass(frozen=True)
class Info:
  """The content of info.json that is used, checked."""

  root: pathlib.Path
  version: str
  fps: float
  vectors: Mapping[str, Vector]
  cameras: Mapping[str, Camera]
  ignored: Mapping[str, str]
  total_episodes: int
  total_frames: int
  chunks_size: int
  data_path: str
  video_path: str
  robot_type: str | None

  def place(self, template: str, **fields: int | str) -> str:
    """Returns the path that a template gives for these values."""

    def value(match: re.Match[str]) -> str:
      name, width = match.groups()
      if name not in fields:
        known = ", ".join(f"{{{field}}}" for field in fields)
        raise self.fault(f"the path {template!r} has {{{name}}}, not {known}")
      return str(fields[name]).zfill(int(width or 0))

    name = _FIELD.sub(value, template)
    parts = pathlib.PurePosixPath(name).parts
    odd = "{" in name or "}" in name or "\\" in name or not name.isprintable()
    if odd or name.startswith("/") or ".." in parts:
      raise self.fault(f"the path {template!r} leads nowhere within the data")
    return name

  def fault(self, reason: str) -> errors.UserError:
    """Returns the error for something that is wrong in info.json."""
    return errors.UserError(f"{self.root / FILE}: {reason}")


def read(root: pathlib.Path) -> Info:
  """Returns what meta/info.json says; UserError when it cannot be true."""
  where = f"{root / FILE}"
  raw = inside.read_json(root, FILE)
  if not isinstance(raw, dict):
    raise errors.UserError(f"{where}: {type(raw).__name__}, not an object")
  version = _version(raw.get("codebase_version"), where)
  features = raw.get("features")
  if not isinstance(features, dict) or not features:
    raise errors.UserError(f"{where}: no features")
  vectors: dict[str, Vector] = {}
  cameras: dict[str, Camera] = {}
  ignored: dict[str, str] = {}
  for name, feature in features.items():
    paths.check_name(name, f"{where}: features")
    found = _feature(feature, f"{where}: feature '{name}'")
    if name in IMPLICIT:
      continue
    if isinstance(found, Vector):
      vectors[name] = found
    elif isinstance(found, Camera):
      cameras[name] = found
    else:
      ignored[name] = found
  data_path, video_path = _DEFAULTS[version[:2]]
  robot = raw.get("robot_type")
  return Info(
    root=root,
    version=version,
    fps=_rate(raw.get("fps"), where),
    vectors=vectors,
    cameras=cameras,
    ignored=ignored,
    total_episodes=_count(raw, "total_episodes", _MOST_EPISODES, where),
    total_frames=_count(raw, "total_frames", _MOST_FRAMES, where),
    chunks_size=_count(
      {"chunks_size": 1000} | raw, "chunks_size", 1 << 40, where
    ),
    data_path=_template(raw.get("data_path"), data_path, where),
    video_path=_template(raw.get("video_path"), video_path, where),
    robot_type=robot if isinstance(robot, str) else None,
  )


def _version(value: Any, where: str) -> str:
  if value in VERSIONS:
    return str(value)
  known = f"read are {', '.join(VERSIONS)}"
  if value is None:
    raise errors.UserError(
      f"{where}: no codebase_version: {known}; a dataset of LeRobot has it"
    )
  number = re.fullmatch(r"v?(\d{1,3})(\.\d{1,3})*", str(value))
  if number and int(number[1]) < 2:
    remedy = "convert it with LeRobot 0.1's convert_dataset_v1_to_v2.py"
  elif number and int(number[1]) > 2:
    remedy = "it is newer than this program: update carnet"
  else:
    remedy = "convert it with the LeRobot that wrote it"
  shown = repr(value)[:40]
  raise errors.UserError(
    f"{where}: codebase_version {shown}: {known}; {remedy}"
  )


def _feature(feature: Any, where: str) -> Vector | Camera | str:
  """Returns the feature, or the reason why it is left alone."""
  if not isinstance(feature, dict) or not isinstance(feature.get("dtype"), str):
    raise errors.UserError(f"{where}: no dtype")
  dtype = feature["dtype"]
  if dtype in _WITHOUT_NUMBERS:
    return dtype
  shape = feature.get("shape")
  if not _is_shape(shape):
    raise errors.UserError(f"{where}: the shape {repr(shape)[:60]} is none")
  if dtype in ("image", "video"):
    return _camera(dtype, feature, shape, where)
  if not _NUMBERS.fullmatch(dtype):
    return f"dtype {dtype[:40]!r}"
  size = math.prod(shape)
  if not 0 < size <= _WIDEST_VECTOR:
    raise errors.UserError(f"{where}: a vector of {size} numbers")
  names = tuple(_strings(feature.get("names")))
  return Vector(size, names if len(names) == size else ())


def _camera(
  kind: str, feature: dict[str, Any], shape: list[int], where: str
) -> Camera | str:
  details = feature.get("info") or feature.get("video_info")
  if isinstance(details, dict):
    depth = details.get("is_depth_map") or details.get("video.is_depth_map")
    if depth is True:
      return "a depth map"
  if len(shape) != 3:
    raise errors.UserError(f"{where}: a picture of shape {shape}")
  names = [str(name) for name in _strings(feature.get("names"))]
  channels_first = shape[2] != 3 and shape[0] == 3
  if names and names[0].startswith("channel"):
    channels_first = True
  elif names and names[-1].startswith("channel"):
    channels_first = False
  # LeRobot's own converters left the names of (H, W, 3) at shapes of (3, H, W)
  if channels_first and shape[0] != 3 and shape[2] == 3:
    channels_first = False
  elif not channels_first and shape[2] != 3 and shape[0] == 3:
    channels_first = True
  height, width, channels = (*shape[1:], shape[0]) if channels_first else shape
  if channels != 3:
    return f"{channels} channels, not 3"
  if not 0 < height <= _LARGEST_SIDE or not 0 < width <= _LARGEST_SIDE:
    raise errors.UserError(f"{where}: a picture of shape {shape}")
  return Camera(kind, height, width)


def _is_shape(shape: Any) -> TypeGuard[list[int]]:
  return (
    isinstance(shape, list)
    and len(shape) <= 8
    and all(type(side) is int and 0 <= side <= 1 << 20 for side in shape)
  )


def _strings(value: Any) -> Iterator[str]:
  """Yields the names in a list, in {"motors": [...]}, or in {"x": 0, ...}."""
  if isinstance(value, str):
    yield value
  elif isinstance(value, list):
    for item in value:
      yield from _strings(item)
  elif isinstance(value, dict):
    for key, item in value.items():
      if isinstance(item, list | dict):
        yield from _strings(item)
      else:
        yield str(key)


def _count(raw: dict[str, Any], key: str, most: int, where: str) -> int:
  value = raw.get(key)
  if type(value) is not int or not 1 <= value <= most:
    raise errors.UserError(f"{where}: {key} is {repr(value)[:40]}, 1 to {most}")
  return value


def _rate(value: Any, where: str) -> float:
  if type(value) not in (int, float) or not 0 < value <= 10_000:
    raise errors.UserError(
      f"{where}: fps is {repr(value)[:40]}, above 0 to 10000"
    )
  return float(value)


def _template(value: Any, default: str, where: str) -> str:
  if value is None:
    return default
  if not isinstance(value, str) or not 0 < len(value) <= 500:
    raise errors.UserError(f"{where}: the path {repr(value)[:60]} is none")
  return value
