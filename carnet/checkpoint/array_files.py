"""Reading the arrays of a step, each compared with its row of the manifest.

Headers come first: a file that declares other arrays than the manifest does is
refused before memory is taken for them.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from carnet.checkpoint import (
  components,
  digest,
  dtypes,
  foreign_source,
  foreign_zarr,
  integrity,
  leaves,
  manifest,
  store,
)

# Values of some bytes lie in the compressed index, larger ones as they are.
_INDEXED_BYTES = 4096


def read(
  path: pathlib.Path,
  found: manifest.Manifest,
  name: str,
  rows: Sequence[manifest.Leaf],
  hashed: bool,
) -> dict[str, np.ndarray]:
  """Returns the arrays of `rows`, leaves of the component `name`, by path.

  Raises:
    CorruptError: something read is not what was written; it names all of it.
  """
  files = [f for f in found.files if f.path.startswith(f"{name}/")]
  small = integrity.SMALL_BYTES
  integrity.refuse(
    path,
    (
      integrity.file_fault(path, file, hashed and file.size_bytes <= small)
      for file in files
    ),
  )
  integrity.refuse(path, [_size_fault(name, rows, files)])
  values = {row.path: _empty(row) for row in rows if not row.size_bytes}
  full = {components.key(row.path): row for row in rows if row.size_bytes}
  try:
    opened = store.open_arrays(path / name, full) if full else {}
    wrong = _header_faults(opened, full)
    read = {} if wrong else foreign_zarr.read_all(opened)
  except Exception as error:
    # The library's message seldom says which file it could not use.
    integrity.refuse(path, _file_faults(path, files))
    raise foreign_source.unreadable(path / name, error) from error
  if wrong:
    integrity.refuse(path, [*_file_faults(path, files), *wrong])
  values |= {row.path: read[key] for key, row in full.items()}
  integrity.refuse(
    path,
    integrity.in_threads(
      lambda row: _leaf_fault(row, values[row.path], hashed), rows
    ),
  )
  return {row.path: values[row.path] for row in rows}


def _file_faults(
  path: pathlib.Path, files: Sequence[manifest.File]
) -> list[str]:
  return [integrity.file_fault(path, file, hashed=True) for file in files]


def _size_fault(
  name: str, rows: Sequence[manifest.Leaf], files: Sequence[manifest.File]
) -> str:
  """Tells of more array data than the files can hold: none is compressed."""
  sizes = [row.size_bytes for row in rows if row.size_bytes > _INDEXED_BYTES]
  stored = sum(file.size_bytes for file in files)
  if sum(sizes) > stored:
    return f"the leaves of {name} have {sum(sizes)} bytes, its files {stored}"
  return ""


def _header_faults(
  opened: Mapping[str, Any], rows: Mapping[str, manifest.Leaf]
) -> list[str]:
  wrong = []
  for key, array in opened.items():
    row, declared = rows[key], foreign_zarr.declared(array)
    # a chunk may be larger than its array, and is read as a whole
    if declared.read_bytes == row.size_bytes:
      fault = _spec_fault(row, declared.shape, declared.dtype)
    else:
      fault = (
        f"leaf {row.path} is {declared.dtype}{list(declared.shape)} of "
        f"{declared.read_bytes} bytes in its file, not {row.size_bytes}"
      )
    wrong.append(fault)
  return [fault for fault in wrong if fault]


def _spec_fault(row: manifest.Leaf, shape: tuple[int, ...], dtype: str) -> str:
  if (shape, dtype) != _stored(row):
    found = f"{dtype}{list(shape)}"
    return f"leaf {row.path} is {found}, not {row.dtype}{list(row.shape)}"
  return ""


def _leaf_fault(row: manifest.Leaf, array: np.ndarray, hashed: bool) -> str:
  fault = _spec_fault(row, array.shape, array.dtype.name)
  if fault:
    return fault
  own = np.ascontiguousarray(array).reshape(array.shape)
  if hashed and digest.leaf(own) != row.sha256:
    return f"leaf {row.path} differs from its sha256"
  return ""


def _stored(row: manifest.Leaf) -> tuple[tuple[int, ...], str]:
  """Returns shape and dtype of the array in the file."""
  shape, dtype = leaves.stored(leaves.Spec(row.shape, row.dtype))
  if shape is None:  # the integers of one key make the last axis
    shape = (*row.shape, dtypes.KEY_WORDS[row.dtype])
  return shape, dtype.name


def _empty(row: manifest.Leaf) -> np.ndarray:
  shape, dtype = _stored(row)
  return np.empty(shape, dtype)
