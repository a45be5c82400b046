"""The device mesh, and how each batch and each leaf is laid out on it.

One device or many is one code path. The mesh has one axis, `data`: batches are
split over it, leaves are copied to every device, or split too (FSDP).
"""

from typing import Any

import jax
import numpy as np

from carnet import errors

_SMALLEST_SHARDED = 2**16  # elements; smaller leaves are not worth a gather


def make_mesh(devices: int = 0) -> jax.sharding.Mesh:
  """Returns a mesh over the first `devices` devices; 0 takes all.

  Raises:
    UserError: there are fewer.
  """
  if devices > jax.device_count():
    raise errors.UserError(
      f"devices={devices}, but there are {jax.device_count()}"
    )
  # Explicit axes, jax's default, reject reshapes and gathers of sharded axes.
  auto = (jax.sharding.AxisType.Auto,)
  chosen = jax.devices()[: devices or None]
  return jax.make_mesh(
    (len(chosen),), ("data",), axis_types=auto, devices=chosen
  )


def batch_sharding(
  mesh: jax.sharding.Mesh, batch_size: int
) -> jax.sharding.NamedSharding:
  """Returns the sharding that splits the leading axis of a batch.

  Raises:
    UserError: `batch_size` does not divide over the devices.
  """
  if batch_size % mesh.size:
    raise errors.UserError(
      f"batch_size {batch_size} does not divide over {mesh.size} devices: "
      f"choose a multiple of {mesh.size}"
    )
  return jax.sharding.NamedSharding(mesh, jax.P("data"))


def state_shardings(mesh: jax.sharding.Mesh, tree: Any, fsdp: bool) -> Any:
  """Returns a sharding for each leaf (anything with a shape) of `tree`."""
  return jax.tree.map(lambda leaf: _leaf_sharding(mesh, leaf.shape, fsdp), tree)


def _leaf_sharding(
  mesh: jax.sharding.Mesh, shape: tuple[int, ...], fsdp: bool
) -> jax.sharding.NamedSharding:
  """Splits the largest axis that divides over the mesh, if the leaf is big."""
  axes: list[str | None] = [None] * len(shape)
  divisible = [n if n % mesh.size == 0 else 0 for n in shape]
  if fsdp and np.prod(shape) >= _SMALLEST_SHARDED and any(divisible):
    axes[int(np.argmax(divisible))] = "data"
  return jax.sharding.NamedSharding(mesh, jax.P(*axes))
