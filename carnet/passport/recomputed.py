"""What the arrays themselves tell: read once, hashed, searched for NaN.

The one part of the static half that needs JAX and TensorStore: they are
imported when the first array is read.
"""

import dataclasses

import numpy as np

from carnet import errors
from carnet.passport import byte_budget, context, needed_files, once


@dataclasses.dataclass(frozen=True)
class Array:
  """The digest of an array, and how many of its values are no numbers."""

  sha256: str
  not_finite: int


@once.Once
def read(found: context.Context) -> dict[str, Array]:
  """Returns what every array of a checkpoint tells, by leaf path.

  Raises:
    UserError: they cannot be read, are not as declared, or too large.
  """
  from carnet.checkpoint import digest, integrity, reader

  if found.manifest is not None:
    paths = [leaf.path for leaf in found.manifest.leaves]
    values = reader.contents(found.path, found.manifest, paths)
  else:
    values = _of_others(found)

  def told(value: np.ndarray) -> Array:
    array = np.ascontiguousarray(value).reshape(value.shape)
    return Array(digest.leaf(array), _not_finite(array))

  return dict(
    zip(values, integrity.in_threads(told, values.values()), strict=True)
  )


def _of_others(found: context.Context) -> dict[str, np.ndarray]:
  """Returns the arrays of every Orbax item, wherever another program put it."""
  from carnet.checkpoint import foreign

  items = {
    place: foreign.find(found.inside(place.rstrip("/")))
    for place in needed_files.items(found)
  }
  held = {place: item for place, item in items.items() if item is not None}
  if not held:
    raise errors.UserError(f"{found.path} has no checkpoint of Orbax in it")
  size = sum(sum(item.sizes().values()) for item in held.values())
  stored = sum(entry.size_bytes for entry in found.entries)
  if size > byte_budget.LARGEST_BYTES or byte_budget.expands(size, stored):
    raise errors.UserError(
      f"arrays of {size} bytes in files of {stored} are too large to read"
    )
  return {
    f"{place}{path}": value
    for place, item in held.items()
    for path, value in item.contents(item.specs()).items()
  }


def _not_finite(array: np.ndarray) -> int:
  if array.dtype.kind in "biu":
    return 0
  return int(array.size - np.isfinite(array).sum())
