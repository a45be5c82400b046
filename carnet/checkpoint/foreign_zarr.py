"""The array files of plain Orbax, read with TensorStore alone.

Below Orbax no type or sharding that a checkpoint names is built, and it makes
no difference how many devices it was saved on. The layout: one zarr array for
each leaf, in a directory of its own or in one OCDBT database for all.
"""

import dataclasses
import math
import pathlib
from collections.abc import Collection
from typing import Any

import numpy as np
import tensorstore


@dataclasses.dataclass(frozen=True)
class Layout:
  """How the arrays lie in their directory.

  `sparse`: chunks that hold zeros alone may be absent.
  """

  ocdbt: bool
  zarr3: bool
  sparse: bool


@dataclasses.dataclass(frozen=True)
class Declared:
  """What the header of an array says of it.

  `read_bytes` counts whole chunks, which may be larger than the array.
  """

  shape: tuple[int, ...]
  dtype: str
  read_bytes: int


def describe(
  directory: pathlib.Path, names: Collection[str], layout: Layout
) -> dict[str, Declared]:
  """Reads the headers of the named arrays, and no array."""
  found = {}
  for name, array in _open(directory, names, layout).items():
    shape = tuple(array.shape)
    chunk = array.chunk_layout.read_chunk.shape or shape
    covered = math.prod(map(max, shape, chunk))
    dtype = array.dtype.numpy_dtype
    found[name] = Declared(shape, dtype.name, covered * dtype.itemsize)
  return found


def fetch(
  directory: pathlib.Path, names: Collection[str], layout: Layout
) -> dict[str, np.ndarray]:
  """Reads the named arrays and no others."""
  opened = _open(directory, names, layout)
  pending = {name: array.read() for name, array in opened.items()}
  return {name: future.result() for name, future in pending.items()}


def _open(
  directory: pathlib.Path, names: Collection[str], layout: Layout
) -> dict[str, Any]:
  # the index of an OCDBT directory is read once, not for each array
  cache = {"cache_pool": {"total_bytes_limit": 1 << 27}}
  context = tensorstore.Context(cache)
  pending = {
    name: tensorstore.open(
      _spec(directory, name, layout), open=True, read=True, context=context
    )
    for name in names
  }
  return {name: future.result() for name, future in pending.items()}


def _spec(directory: pathlib.Path, name: str, layout: Layout) -> dict[str, Any]:
  files = {"driver": "file", "path": f"{directory.absolute()}/"}
  if layout.ocdbt:
    place = {"driver": "ocdbt", "base": files, "path": f"{name}/"}
  else:
    place = {**files, "path": f"{files['path']}{name}/"}
  return {
    "driver": "zarr3" if layout.zarr3 else "zarr",
    "kvstore": place,
    "fill_missing_data_reads": layout.sparse,
  }
