"""`.safetensors` files, whole or in shards: the header, then single tensors.

The safetensors library checks the header: its size, and that the tensors
cover the file without gaps or overlaps. Its numpy reader knows no fp8, so the
bytes are read here, for every dtype alike.
"""

import dataclasses
import pathlib
import struct
from collections.abc import Collection
from typing import Any

import numpy as np
import safetensors

from carnet.checkpoint import (
  documents,
  faults,
  foreign_source,
  leaves,
  safetensors_dtypes,
)

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
INDEX = f"model{INDEX_SUFFIX}"

_LENGTH = struct.Struct("<Q")  # of the header, in front of it
_COMMENT = "__metadata__"


@dataclasses.dataclass(frozen=True)
class File:
  """One `.safetensors` file; tensors keep the names that they have in it."""

  place: pathlib.Path
  leaves: tuple[foreign_source.Leaf, ...]
  skipped: tuple[str, ...]
  offsets: dict[str, int]

  def read(
    self, wanted: Collection[foreign_source.Leaf]
  ) -> dict[str, np.ndarray]:
    """Returns the wanted tensors and reads no others."""
    read = {}
    for leaf in wanted:
      count = leaf.size_bytes // leaf.dtype.itemsize
      flat = np.fromfile(
        self.place, leaf.dtype, count, offset=self.offsets[leaf.key]
      )
      read[leaf.key] = flat.reshape(leaf.shape)
    return read


def open_file(place: pathlib.Path) -> File:
  """Returns what the header of a file declares.

  Raises:
    CorruptError: it is cut off, altered, or not of this format.
  """
  foreign_source.check_one(place)
  try:
    with safetensors.safe_open(place, framework="numpy"):
      pass
    start, header = _header(place)
    return _parse(place, start, header)
  except faults.CorruptError:
    raise
  except Exception as error:
    raise foreign_source.unreadable(place, error) from error


def open_shards(index: pathlib.Path) -> list[File]:
  """Returns the files that an index names, all beside it.

  Raises:
    CorruptError: the index and the files do not fit each other.
  """
  listed = foreign_source.document(index)
  table = listed.get("weight_map") if isinstance(listed, dict) else None
  if not isinstance(table, dict):
    raise faults.CorruptError(f"{index} has no weight_map")
  for name in table.values():
    sound = isinstance(name, str) and name.endswith(SUFFIX)
    if not sound or "/" in foreign_source.path(name, index):
      raise faults.CorruptError(f"{index} names the file {name!r}")
  shards = [open_file(index.parent / n) for n in sorted({*table.values()})]
  held = {
    name: shard.place.name
    for shard in shards
    for name in (*(leaf.key for leaf in shard.leaves), *shard.skipped)
  }
  wrong = [name for name, file in table.items() if held.get(name) != file]
  if wrong:
    raise faults.CorruptError(
      f"{index}: tensor '{wrong[0]}' is not in {table[wrong[0]]}"
    )
  return shards


def _header(place: pathlib.Path) -> tuple[int, dict[str, Any]]:
  with place.open("rb") as file:
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    if length > foreign_source.LARGEST_METADATA_BYTES:
      raise faults.CorruptError(f"{place}: a header of {length} bytes")
    header = documents.decode(file.read(length), f"the header of {place}")
  header.pop(_COMMENT, None)
  return _LENGTH.size + length, header


def _parse(place: pathlib.Path, start: int, header: dict[str, Any]) -> File:
  found, skipped, offsets = [], [], {}
  file_bytes = place.stat().st_size
  for key, row in header.items():
    path = foreign_source.path(key, place)
    if row["dtype"] not in safetensors_dtypes.BY_NAME:
      skipped.append(path)
      continue
    dtype = np.dtype(safetensors_dtypes.BY_NAME[row["dtype"]])
    first, end = row["data_offsets"]
    spec = leaves.Spec(tuple(row["shape"]), dtype.name)
    leaf = foreign_source.Leaf(path, key, spec, spec.shape, end - first)
    if leaf.size_bytes != leaf.read_bytes or start + end > file_bytes:
      raise faults.CorruptError(f"{place}: tensor '{key}' is out of range")
    found.append(leaf)
    offsets[key] = start + first
  return File(place, tuple(found), tuple(skipped), offsets)
