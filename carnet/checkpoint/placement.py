"""Stored leaves put where the present ones are: value, dtype, sharding.

Nothing is cast that would change, with one exception: a Python float that
became an array takes the array's dtype and is rounded to it.
"""

from typing import Any

import jax
import numpy as np

from carnet.checkpoint import faults, kinds, leaves


def rebuild(
  array: np.ndarray, spec: leaves.Spec, target: Any, where: str
) -> Any:
  """Returns the stored `array` as a leaf of the target's kind and sharding.

  An array that stands where the target has a Python number stays an array: a
  JAX array, since a jitted step made it, unless JAX would change its dtype.

  Args:
    array: the stored content.
    spec: what was stored.
    target: the present leaf.
    where: its path.

  Raises:
    MismatchError: the value or the dtype would not be what was stored.
  """
  leaf = leaves.plain(array, spec)
  if not kinds.is_array(target):
    return _grown(leaf, spec)
  if isinstance(target, np.ndarray):
    return _converted(leaf, spec, target.dtype, where)
  if isinstance(target, np.generic):
    return _converted(leaf, spec, target.dtype, where)[()]
  if not isinstance(leaf, jax.Array):
    leaf = _converted(leaf, spec, target.dtype, where)
  placed = _place(leaf, target)
  if placed.dtype != target.dtype:
    raise faults.MismatchError(
      f"{where} is {target.dtype} here and {spec.dtype} in the checkpoint, "
      f"and JAX would make it {placed.dtype}: set jax_enable_x64"
    )
  follows = spec.dtype in kinds.PYTHON and getattr(target, "weak_type", False)
  return _weaken(placed) if spec.weak or follows else placed


def _grown(leaf: Any, spec: leaves.Spec) -> Any:
  """Returns what takes the place of a Python number."""
  if not isinstance(leaf, np.ndarray):
    return leaf
  if jax.dtypes.canonicalize_dtype(leaf.dtype) != leaf.dtype:
    return leaf
  placed = jax.device_put(leaf)
  return _weaken(placed) if spec.weak else placed


def _converted(
  leaf: Any, spec: leaves.Spec, dtype: np.dtype, where: str
) -> np.ndarray:
  if isinstance(leaf, np.ndarray):
    return np.asarray(leaf, dtype)  # the plan demands the same dtype
  with np.errstate(over="ignore", invalid="ignore"):
    array = np.asarray(leaf, leaves.stored(spec)[1]).astype(dtype)
  if not _same(array, leaf):
    raise faults.MismatchError(
      f"{where} is {dtype} here and {spec.dtype} in the checkpoint, whose "
      f"value {leaf} does not fit"
    )
  return array


def _same(array: np.ndarray, number: Any) -> bool:
  if not isinstance(number, float):
    return bool(array == number)
  wide = array.astype(np.float64)  # rounded, but neither lost nor infinite
  return all(check(wide) == check(number) for check in (np.isfinite, np.isnan))


def _place(leaf: Any, target: Any) -> jax.Array:
  sharding = target.sharding
  # An uncommitted array follows the arrays it meets; a committed one does
  # not, so the target decides. No sharding means the default device.
  if isinstance(target, jax.Array) and not target.committed:
    sharding = None
  if sharding is not None and not sharding.is_fully_addressable:
    return _spread(leaf, sharding)
  return jax.device_put(leaf, sharding)


def _spread(leaf: Any, sharding: jax.sharding.Sharding) -> jax.Array:
  """Returns a global array of which each process fills the shards it holds."""
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    data = np.asarray(jax.random.key_data(leaf))
    impl = str(jax.random.key_impl(leaf))
    return jax.random.wrap_key_data(_spread(data, sharding), impl=impl)
  return jax.make_array_from_callback(
    leaf.shape, sharding, lambda index: leaf[index]
  )


def _weaken(array: jax.Array) -> jax.Array:
  # jax.numpy makes weak arrays from Python numbers alone
  return jax.lax.convert_element_type_p.bind(
    array, new_dtype=array.dtype, weak_type=True, sharding=None
  )
