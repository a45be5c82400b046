"""What can be done with a `base.Space`: bounds, random elements, checks."""

import numpy as np
from jaxtyping import Shaped

from carnet import errors
from carnet.envs import base


def bounds(
  space: base.Space,
) -> tuple[Shaped[np.ndarray, "..."], Shaped[np.ndarray, "..."]]:
  """Returns the lowest and highest values as arrays of the space's shape."""
  if space.classes:
    zeros = np.zeros(space.shape, space.dtype)
    return zeros, np.full_like(zeros, space.classes - 1)
  low, high = (np.asarray(b, space.dtype) for b in (space.low, space.high))
  if low.ndim:  # one each, in the order of the flat array
    low = low.reshape(space.shape)
  if high.ndim:
    high = high.reshape(space.shape)
  return np.broadcast_to(low, space.shape), np.broadcast_to(high, space.shape)


def sample(
  space: base.Space | dict[str, base.Space], generator: np.random.Generator
) -> base.Action:
  """Returns a random element, uniform; normal where a bound is missing."""
  if isinstance(space, dict):
    return {name: _sample(part, generator) for name, part in space.items()}
  return _sample(space, generator)


def _sample(space: base.Space, generator: np.random.Generator) -> np.ndarray:
  if space.classes:
    values = generator.integers(space.classes, size=space.shape)
    return np.asarray(values, space.dtype)
  low, high = bounds(space)
  finite = np.isfinite(low) & np.isfinite(high)
  scale = np.where(finite, high, 1.0) - np.where(finite, low, 0.0)
  uniform = generator.random(space.shape) * scale + np.where(finite, low, 0.0)
  values = np.where(finite, uniform, generator.normal(size=space.shape))
  return np.asarray(values, space.dtype)


def category(action: np.ndarray | np.integer | int, classes: int) -> int:
  """Returns the action as an int; `UserError` unless in 0 ... classes - 1."""
  value = int(action)
  if not 0 <= value < classes:
    raise errors.UserError(f"action {value} is not one of 0 to {classes - 1}")
  return value


def check_finite(action: Shaped[np.ndarray, "..."]) -> None:
  """Raises `UserError` if a number is none."""
  if not np.isfinite(action).all():
    raise errors.UserError(
      "the action holds a NaN or an infinity: the policy has diverged"
    )
