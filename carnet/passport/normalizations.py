"""Normalisations with statistics: forward, back, and what they refuse.

    standardize    (x - mean) / (max(std, std_floor) + epsilon)
    to_unit_range  2 (x - low) / (high - low) - 1

Statistics are lists of numbers in a JSON file. Where they are absent, not
finite or of another width than the array, it is a UserError.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from carnet import errors
from carnet.passport import contract, steps

Array = Any  # of the module `xp`
Block = Mapping[str, Any]
# (file, key) -> the numbers of a feature by name, such as "mean"
Statistics = Callable[[str, str], Block]


@dataclasses.dataclass(frozen=True)
class Call:
  """What operations need besides arrays and parameters."""

  statistics: Statistics
  xp: ModuleType
  batch_axes: int = 1


def float32(x: Array, xp: ModuleType) -> Array:
  """Returns the array as float32."""
  return xp.asarray(x).astype(xp.float32)


def standardize(x: Array, params: steps.StandardizeParams, call: Call) -> Array:
  """Returns (x - mean) / (max(std, std_floor) + epsilon)."""
  x = float32(x, call.xp)
  mean, std = _mean_and_std(params, call)
  divisor = std + np.float32(params.epsilon)
  return (x - _fit(mean, x, call)) / _fit(divisor, x, call)


def standardize_inverse(
  x: Array, params: steps.StandardizeParams, call: Call
) -> Array:
  """Returns what `standardize` made `x` of."""
  x = float32(x, call.xp)
  mean, std = _mean_and_std(params, call)
  factor = std + np.float32(params.epsilon)
  return x * _fit(factor, x, call) + _fit(mean, x, call)


def unstandardize(
  x: Array, params: steps.StandardizeParams, call: Call
) -> Array:
  """Returns x max(std, std_floor) + mean."""
  x = float32(x, call.xp)
  mean, std = _mean_and_std(params, call)
  return x * _fit(std, x, call) + _fit(mean, x, call)


def unstandardize_inverse(
  x: Array, params: steps.StandardizeParams, call: Call
) -> Array:
  """Returns what `unstandardize` made `x` of."""
  x = float32(x, call.xp)
  mean, std = _mean_and_std(params, call)
  if np.any(std == 0):
    raise errors.UserError("a 'std' of zero cannot be undone")
  return (x - _fit(mean, x, call)) / _fit(std, x, call)


def _mean_and_std(
  params: steps.StandardizeParams, call: Call
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the mean and the standard deviation, no smaller than its floor."""
  if params.constants is not None:
    block: Block = params.constants.model_dump()
    where = "the constants"
  else:
    assert params.statistics is not None  # the schema has one of both
    block, where = _block(params.statistics, call)
  mean, std = (numbers(block, name, where) for name in ("mean", "std"))
  std = np.maximum(std, np.float32(params.std_floor))
  if np.any(std + np.float32(params.epsilon) <= 0):
    raise errors.UserError(f"{where} hold a 'std' of zero, or a negative one")
  return mean, std


def to_unit_range(x: Array, params: steps.RangeParams, call: Call) -> Array:
  """Returns 2 (x - low) / (high - low) - 1."""
  x = float32(x, call.xp)
  low, width = _low_and_width(params, call)
  return 2.0 * (x - _fit(low, x, call)) / _fit(width, x, call) - 1.0


def from_unit_range(x: Array, params: steps.RangeParams, call: Call) -> Array:
  """Returns (x + 1) / 2 (high - low) + low."""
  x = float32(x, call.xp)
  low, width = _low_and_width(params, call)
  return (x + 1.0) / 2.0 * _fit(width, x, call) + _fit(low, x, call)


def _low_and_width(
  params: steps.RangeParams, call: Call
) -> tuple[np.ndarray, np.ndarray]:
  block, where = _block(params.statistics, call)
  low = numbers(block, params.low, where)
  width = numbers(block, params.high, where) - low
  width = np.where(width == 0, np.float32(params.epsilon), width)
  if np.any(width <= 0):
    raise errors.UserError(
      f"{where} hold a '{params.low}' that is not below '{params.high}'"
    )
  return low, width


def _block(pinned: contract.Fingerprint, call: Call) -> tuple[Block, str]:
  where = f"{pinned.file}/{pinned.key}"
  return call.statistics(pinned.file, pinned.key), where


def numbers(block: Block, name: str, where: str) -> np.ndarray:
  """Returns the float32 vector `name` of a block; `where` is for messages.

  Raises:
    UserError: it is not there, or not a list of finite numbers.
  """
  found = block.get(name)
  if not isinstance(found, list | tuple) or not found:
    raise errors.UserError(f"{where} has no list of numbers '{name}'")
  if any(isinstance(n, bool) or not isinstance(n, int | float) for n in found):
    raise errors.UserError(f"{where} has a '{name}' that is no number")
  with np.errstate(over="ignore"):
    vector = np.asarray(found, np.float64).astype(np.float32)
  if not np.all(np.isfinite(vector)):
    raise errors.UserError(f"{where} has a '{name}' that is not finite")
  return vector


def _fit(vector: np.ndarray, x: Array, call: Call) -> Array:
  """Returns the vector with the rank of `x`, if it is as wide."""
  width = x.shape[-1] if x.ndim else 1
  if x.ndim <= call.batch_axes or vector.shape != (width,):
    raise errors.UserError(
      f"an array of shape {tuple(x.shape)[call.batch_axes :]} and "
      f"{vector.size} numbers to normalise it with"
    )
  return call.xp.asarray(vector.reshape((1,) * (x.ndim - 1) + (-1,)))
