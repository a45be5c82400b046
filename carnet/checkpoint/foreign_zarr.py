"""The array files of plain Orbax, read with TensorStore alone.

Below Orbax no type or sharding that a checkpoint names is built, and it makes
no difference how many devices it was saved on. The layout: one zarr array for
each leaf, in a directory of its own or in one OCDBT database for all.
"""

import dataclasses
import math
import pathlib
from collections.abc import Collection, Mapping
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
  opened = open_all(directory, names, layout)
  return {name: declared(array) for name, array in opened.items()}


def fetch(
  directory: pathlib.Path, names: Collection[str], layout: Layout
) -> dict[str, np.ndarray]:
  """Reads the named arrays and no others."""
  return read_all(open_all(directory, names, layout))


def declared(array: Any) -> Declared:
  """Returns what the header of an opened array says of it."""
  shape = tuple(array.shape)
  chunk = array.chunk_layout.read_chunk.shape or shape
  covered = math.prod(map(max, shape, chunk))
  dtype = array.dtype.numpy_dtype
  return Declared(shape, dtype.name, covered * dtype.itemsize)


def read_all(opened: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Reads opened arrays."""
  pending = {name: array.read() for name, array in opened.items()}
  return {name: future.result() for name, future in pending.items()}


def open_all(
  directory: pathlib.Path, names: Collection[str], layout: Layout
) -> dict[str, Any]:
  """Opens the named arrays: their headers are read, and no array.

  Raises:
    KeyError: one is not there.
  """
  # the index of an OCDBT directory is read once, not for each array
  cache = {"cache_pool": {"total_bytes_limit": 1 << 27}}
  context = tensorstore.Context(cache)
  pending = {
    name: tensorstore.open(
      _spec(directory, name, layout), open=True, read=True, context=context
    )
    for name in names
  }
  return {name: _result(name, future) for name, future in pending.items()}


def _result(name: str, future: Any) -> Any:
  try:
    return future.result()
  except ValueError as error:
    if "NOT_FOUND" not in str(error):
      raise
    raise KeyError(f"no array '{name}'") from error


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
