"""What a directory of demonstrations tells of its cameras and vectors.

Read are `metadata.json` of our own demonstrations, and `meta/info.json` with
`meta/stats.json` of a LeRobotDataset; no frame is opened.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from carnet import errors
from carnet.checkpoint import documents, plain_file

PICTURES = "observation.images."
_LARGEST_BYTES = 1 << 26


@dataclasses.dataclass(frozen=True)
class Facts:
  """A dataset.

  Attributes:
    source: the file that tells.
    cameras: short name -> (height, width, channels).
    vectors: name -> number of elements.
    control_hz: frames a second, or None.
    statistics: name -> {"mean": ..., "std": ...}, as the file has them.
  """

  source: str
  cameras: Mapping[str, tuple[int, int, int]]
  vectors: Mapping[str, int]
  control_hz: float | None
  statistics: Mapping[str, Any]

  def moments(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns mean and standard deviation of a vector, [D]; None without."""
    block = self.statistics.get(name)
    if not isinstance(block, dict):
      return None
    try:
      mean, std = (
        np.asarray(block[key], np.float64).ravel() for key in ("mean", "std")
      )
    except (KeyError, TypeError, ValueError):
      return None
    return (mean, std) if mean.shape == std.shape else None


def read(path: pathlib.Path) -> Facts:
  """Returns the facts of the dataset at `path`.

  Raises:
    UserError: there is none, or its papers are unsound.
  """
  try:
    if (path / "metadata.json").is_file():
      return _ours(path)
    if (path / "meta" / "info.json").is_file():
      return _lerobot(path)
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(
      f"{path}: its papers are not as expected: {error!r}"
    ) from error
  raise errors.UserError(
    f"{path} has neither metadata.json nor meta/info.json: give the directory "
    "of a dataset"
  )


def _ours(path: pathlib.Path) -> Facts:
  found = _json(path / "metadata.json")
  cameras = {
    name: (int(row["height"]), int(row["width"]), 3)
    for name, row in found["cameras"].items()
  }
  return Facts(
    source=str(path / "metadata.json"),
    cameras=cameras,
    vectors={name: int(size) for name, size in found["sizes"].items()},
    control_hz=_number(found.get("control_hz")),
    statistics=found.get("statistics", {}),
  )


def _lerobot(path: pathlib.Path) -> Facts:
  found = _json(path / "meta" / "info.json")
  statistics = path / "meta" / "stats.json"
  cameras, vectors = {}, {}
  for name, row in found["features"].items():
    if row["dtype"] in ("video", "image"):
      cameras[name.removeprefix(PICTURES)] = _picture(row)
    elif len(row["shape"]) == 1:
      vectors[name] = int(row["shape"][0])
  return Facts(
    source=str(path / "meta" / "info.json"),
    cameras=cameras,
    vectors=vectors,
    control_hz=_number(found.get("fps")),
    statistics=_json(statistics) if statistics.is_file() else {},
  )


def _picture(row: Mapping[str, Any]) -> tuple[int, int, int]:
  """Returns height, width and channels, in whatever order they are named."""
  one, two, three = (int(size) for size in row["shape"])
  names = row.get("names") or ()
  if names and names[0] in ("channel", "channels"):
    return two, three, one
  return one, two, three


def _json(path: pathlib.Path) -> dict[str, Any]:
  content = plain_file.read(path, _LARGEST_BYTES)
  found = documents.decode(content, str(path))
  if not isinstance(found, dict):
    raise errors.UserError(f"{path} is no JSON object")
  return found


def _number(value: Any) -> float | None:
  return float(value) if isinstance(value, int | float) else None
