"""What the arrays themselves tell: read once, hashed, searched for NaN.

The one part of the static half that needs JAX and TensorStore: they are
imported when the first array is read.
"""

import dataclasses
import functools

import numpy as np

from carnet import errors
from carnet.passport import byte_budget, context


@dataclasses.dataclass(frozen=True)
class Array:
  """The digest of an array, and how many of its values are no numbers."""

  sha256: str
  not_finite: int


@functools.lru_cache(maxsize=1)  # several checks of one run ask
def read(found: context.Context) -> dict[str, Array]:
  """Returns what every array of a checkpoint tells, by leaf path.

  Raises:
    UserError: they cannot be read, are not as declared, or too large.
  """
  from carnet.checkpoint import digest, foreign, integrity, reader

  if found.manifest is not None:
    paths = [leaf.path for leaf in found.manifest.leaves]
    values = reader.contents(found.path, found.manifest, paths)
  else:
    item = found.passport.weight_integrity.checkpoint_format.item
    held = foreign.find(found.path) or foreign.find(found.inside(item))
    if held is None:
      raise errors.UserError(f"{found.path} is no checkpoint of Orbax")
    size = sum(held.sizes().values())
    stored = sum(entry.size_bytes for entry in found.entries)
    if size > byte_budget.LARGEST_BYTES or byte_budget.expands(size, stored):
      raise errors.UserError(
        f"arrays of {size} bytes in files of {stored} are too large to read"
      )
    values = held.contents(held.specs())

  def told(value: np.ndarray) -> Array:
    array = np.ascontiguousarray(value).reshape(value.shape)
    return Array(digest.leaf(array), _not_finite(array))

  return dict(
    zip(values, integrity.in_threads(told, values.values()), strict=True)
  )


def _not_finite(array: np.ndarray) -> int:
  if array.dtype.kind in "biu":
    return 0
  return int(array.size - np.isfinite(array).sum())
