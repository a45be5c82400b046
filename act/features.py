"""What a policy sees and does: names and sizes, no arrays and no JAX."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Features:
  """Shapes of one sample: cameras (name, (H, W, 3)) in order, vector sizes."""

  images: tuple[tuple[str, tuple[int, int, int]], ...]
  action_size: int
  state_size: int = 0  # 0 is none
  environment_state_size: int = 0

  @property
  def cameras(self) -> tuple[str, ...]:
    """Names of the cameras, in the order of their tokens."""
    return tuple(name for name, _ in self.images)


def to_json(features: Features) -> dict[str, Any]:
  """Returns the features as JSON values; `from_json` is the inverse."""
  images = [[name, list(shape)] for name, shape in features.images]
  return dataclasses.asdict(features) | {"images": images}


def from_json(data: Mapping[str, Any]) -> Features:
  """Returns the features that `to_json` turned into `data`."""
  images = tuple((name, tuple(shape)) for name, shape in data["images"])
  return Features(**{**data, "images": images})
