"""What the files of a TensorFlow Datasets directory say about themselves.

`features.json` names Python classes for TensorFlow Datasets to import; here
their names are only compared. Legacy files, of before 2022, are refused.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from carnet import errors

Kind = Literal["image", "tensor", "text", "other"]
Shape = tuple[int | None, ...]

_LARGEST_JSON = 64 * 2**20
_LARGEST_PICTURE = 3 * 2**26  # bytes
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_FORMAT = "array_record"


@dataclasses.dataclass(frozen=True)
class Feature:
  """One feature of a step or an episode; None in a shape is any length."""

  name: str  # of the levels, joined with "/"
  kind: Kind
  shape: Shape = ()
  dtype: str = ""
  encoding: str = "none"

  @property
  def is_picture(self) -> bool:
    """Whether it is a colour picture."""
    colour = len(self.shape) == 3 and self.shape[2] == 3
    sized = self.kind == "image" or None not in self.shape
    known = math.prod(length or 1 for length in self.shape)
    fits = self.dtype == "uint8" and known <= _LARGEST_PICTURE
    return colour and sized and fits and self.kind in ("image", "tensor")


@dataclasses.dataclass(frozen=True)
class Info:
  """What dataset_info.json tells of the split in use."""

  name: str
  split: str
  others: tuple[str, ...]  # splits that are there too
  shards: tuple[pathlib.Path, ...]
  lengths: tuple[int, ...]  # episodes of each shard


def read_json(path: pathlib.Path) -> tuple[dict[str, Any], bytes]:
  """Returns a JSON object and its bytes; UserError when there is none."""
  try:
    if path.stat().st_size > _LARGEST_JSON:
      raise errors.UserError(f"{path}: larger than {_LARGEST_JSON} bytes")
    data = path.read_bytes()
    content = json.loads(data)
  except (OSError, ValueError, RecursionError) as error:
    raise errors.UserError(f"{path}: unreadable ({error})") from error
  if not isinstance(content, dict):
    raise errors.UserError(f"{path}: no JSON object")
  return content, data


def read(root: pathlib.Path) -> tuple[list[Feature], list[Feature]]:
  """Returns the features of a step, and those of an episode, in order."""
  path = root / "features.json"
  content, _ = read_json(path)
  try:
    features = _top(content)
    steps = features["steps"]["sequence"]["feature"]["featuresDict"]["features"]
    others = {k: v for k, v in features.items() if k != "steps"}
    return sorted_features(steps), sorted_features(others)
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(
      f"{path}: no RLDS of today's TensorFlow Datasets, which nests 'steps' in "
      f"an episode ({error!r})"
    ) from error


def sorted_features(features: Mapping[str, Any]) -> list[Feature]:
  """Returns the leaves; the file has them in no order of its own."""
  return sorted(_leaves(features, ""), key=lambda feature: feature.name)


def info(root: pathlib.Path) -> Info:
  """Returns what dataset_info.json tells; UserError when it is unfit."""
  path = root / "dataset_info.json"
  content, _ = read_json(path)
  formats = (
    content.get("fileFormat", "tfrecord"),
    *content.get("alternativeFileFormats", ()),
  )
  if _FORMAT not in formats:
    raise errors.UserError(
      f"{root}: stored as {formats[0]}, which only TensorFlow reads: convert "
      "it once, where tensorflow, tensorflow-datasets, apache-beam and "
      "mlcroissant are installed: tfds convert_format "
      f"--dataset_version_dir={root} --out_file_format=array_record (it writes "
      "beside what is there)"
    )
  try:
    return _info(root, content)
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(f"{path}: damaged ({error!r})") from error


def _top(content: Mapping[str, Any]) -> Any:
  if "featuresDict" in content:
    return content["featuresDict"]["features"]
  inner = content["content"]
  if isinstance(inner, str):
    inner = json.loads(inner)
  return inner["features"]


def _leaves(features: Mapping[str, Any], above: str) -> Iterator[Feature]:
  for name, feature in features.items():
    path = f"{above}{name}"
    if "featuresDict" in feature:
      inner = feature["featuresDict"]["features"]
      yield from _leaves(inner, f"{path}/")
    elif "image" in feature:
      image = feature["image"]
      dtype = image.get("dtype") or "uint8"
      yield Feature(path, "image", _shape(image), dtype, "image")
    elif "tensor" in feature:
      tensor = feature["tensor"]
      encoding = tensor.get("encoding") or "none"
      dtype = tensor["dtype"]
      yield Feature(path, "tensor", _shape(tensor), dtype, encoding)
    else:
      yield Feature(path, "text" if "text" in feature else "other")


def _shape(feature: Mapping[str, Any]) -> Shape:
  lengths = map(int, feature.get("shape", {}).get("dimensions", ()))
  return tuple(None if length < 0 else length for length in lengths)


def _info(root: pathlib.Path, content: Mapping[str, Any]) -> Info:
  splits = {
    split["name"]: split
    for split in content["splits"]
    if any(map(int, split.get("shardLengths", ())))
  }
  if not splits:
    raise ValueError("no split holds an episode")
  chosen = "train" if "train" in splits else next(iter(splits))
  split = splits[chosen]
  lengths = tuple(map(int, split["shardLengths"]))
  template = split.get("filepathTemplate") or _TEMPLATE
  name = content["name"]
  version = content.get("version", "")
  shards = []
  for index in range(len(lengths)):
    file = _file_name(template, name, chosen, index, len(lengths))
    if pathlib.PurePath(file).name != file:
      raise ValueError(f"shard '{file}' is no plain name")
    shards.append(root / file)
  label = "/".join(filter(None, (name, content.get("configName"), version)))
  others = tuple(other for other in splits if other != chosen)
  return Info(label, chosen, others, tuple(shards), lengths)


def _file_name(
  template: str, name: str, split: str, index: int, count: int
) -> str:
  # tensorflow_datasets/core/naming.py, ShardedFileTemplate
  digits = max(len(str(count)), 5)
  values = {
    "DATASET": name,
    "SPLIT": split,
    "FILEFORMAT": _FORMAT,
    "SHARD_INDEX": f"{index:0{digits}}",
    "NUM_SHARDS": f"{count:0{digits}}",
    "SHARD_X_OF_Y": f"{index:0{digits}}-of-{count:0{digits}}",
  }
  for key, value in values.items():
    template = template.replace("{" + key + "}", value)
  return template
