"""Spaces of gymnax as ours; known by their attributes, not by their class."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnet import errors
from carnet.envs import base

Part = tuple[base.Space, Callable[[Any], jax.Array]]


def observations(space: Any, shapes: Any) -> dict[str, Part]:
  """Returns each array's space of ours, and what makes it of gymnax's."""
  if isinstance(shapes, dict):
    spaces = getattr(space, "spaces", space)
    return {n: _observation(spaces[n], shapes[n]) for n in sorted(shapes)}
  part = _observation(space, shapes)
  is_image = part[0].dtype == "uint8"
  return {"image" if is_image else "observation": part}


def _observation(space: Any, like: jax.ShapeDtypeStruct) -> Part:
  shape, small = tuple(like.shape), like.dtype in (jnp.bool_, jnp.uint8)
  if small and len(shape) == 3:
    highest = 1 if like.dtype == jnp.bool_ else int(np.max(space.high))
    times = np.uint8(255 // max(highest, 1))
    return (
      base.Space(shape, "uint8", 0.0, 255.0),
      lambda x: x.astype(jnp.uint8) * times,
    )
  if hasattr(space, "n"):
    count = int(space.n)
    return (
      base.Space(shape, "int32", 0.0, count - 1.0, count),
      lambda x: x.astype(jnp.int32),
    )
  low, high = _bound(space.low, shape), _bound(space.high, shape)
  return (
    base.Space(shape, "float32", low, high),
    lambda x: x.astype(jnp.float32),
  )


def action(space: Any) -> tuple[base.Space, Callable[[Any], Any]]:
  """Returns our space, and what makes gymnax's action of ours.

  Raises:
    UserError: it is no space of numbers.
  """
  if hasattr(space, "n"):
    count = int(space.n)
    return (
      base.Space(tuple(space.shape), "int32", 0.0, count - 1.0, count),
      lambda action: action,
    )
  if not hasattr(space, "low"):
    raise errors.UserError(
      f"an action space of type {type(space).__name__} is not supported: it "
      "has neither `n` nor `low` and `high`"
    )
  shape = tuple(space.shape)
  low, high = (
    np.broadcast_to(np.asarray(bound, np.float32), shape)
    for bound in (space.low, space.high)
  )
  if not (np.isfinite(low).all() and np.isfinite(high).all()):
    return (
      base.Space(shape, "float32", _bound(low, shape), _bound(high, shape)),
      lambda action: action,
    )
  middle, half = (low + high) / 2, (high - low) / 2
  return (
    base.Space(shape, "float32", -1.0, 1.0),
    lambda action: middle + half * jnp.clip(action, -1.0, 1.0),
  )


def _bound(bound: Any, shape: tuple[int, ...]) -> float | tuple[float, ...]:
  values = np.broadcast_to(np.asarray(bound, np.float32), shape)
  if values.size and np.all(values == values.flat[0]):
    return float(values.flat[0])
  return tuple(float(value) for value in values.flat)
