"""What the readers of foreign checkpoints share: leaves, limits and faults."""

import dataclasses
import math
import os
import pathlib
import stat
from collections.abc import Collection, Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from carnet import errors, paths
from carnet.checkpoint import documents, faults, leaves

LARGEST_METADATA_BYTES = 100_000_000  # as safetensors limits its header
_ARRAY_HEADERS = (".zarray", "zarr.json")


@dataclasses.dataclass(frozen=True)
class Leaf:
  """An array of a foreign checkpoint, as its metadata declares it.

  `key` is its name in the file. `shape` differs from the spec's for random
  keys, whose last axis is the integers behind one key. `read_bytes` is the
  memory that reading takes: more than the array where a chunk is larger.
  """

  path: str
  key: str
  spec: leaves.Spec
  shape: tuple[int, ...]
  read_bytes: int

  @property
  def dtype(self) -> np.dtype:
    """The dtype of the array in the file."""
    return leaves.stored(self.spec)[1]

  @property
  def size_bytes(self) -> int:
    """The bytes of the array, uncompressed."""
    return math.prod(self.shape) * self.dtype.itemsize


@runtime_checkable
class Part(Protocol):
  """One file, or one Orbax item, whose metadata has been read."""

  @property
  def place(self) -> pathlib.Path:
    """The file or directory."""

  @property
  def leaves(self) -> tuple[Leaf, ...]:
    """What can be read; paths are those within the part."""

  @property
  def skipped(self) -> tuple[str, ...]:
    """Paths of what is there and cannot be restored."""

  def read(self, wanted: Collection[Leaf]) -> dict[str, np.ndarray]:
    """Returns arrays by the leaf's `key`, unchecked; raises what it likes."""


def path(key: str, place: pathlib.Path) -> str:
  """Returns the leaf path of a stored key if it leads nowhere else.

  Raises:
    CorruptError: it is absolute, or one of its names is "..", say.
  """
  try:
    return paths.check(key)
  except errors.UserError as error:
    raise faults.CorruptError(f"{place}: {error}") from error


def known(spec: leaves.Spec) -> bool:
  """Tells whether an array of this dtype can be restored."""
  try:
    leaves.stored(spec)
  except ValueError:
    return False
  return True


def check_distinct(found: Iterable[tuple[str, str]], where: object) -> None:
  """Refuses two keys of one path; pairs are a path and the name to show.

  Raises:
    UserError: it names both.
  """
  first: dict[str, str] = {}
  for name, shown in found:
    if name in first:
      raise errors.UserError(
        f"{where}: {first[name]} and {shown} are both '{name}': save one of "
        "them under another name"
      )
    first[name] = shown


def document(place: pathlib.Path) -> Any:
  """Returns the value of a JSON file.

  Raises:
    CorruptError: it is too large, not readable, or not JSON.
  """
  _check_small(place)
  try:
    return documents.decode(place.read_bytes(), str(place))
  except OSError as error:
    raise unreadable(place, error) from error


def check_plain(root: pathlib.Path) -> None:
  """Refuses a directory that holds, or is, anything but files and directories.

  Raises:
    CorruptError: a link could lead out of it, a pipe would never end, a
      header is too large to be one.
  """
  check_one(root)
  for parent, directories, files in os.walk(root):
    for name in (*directories, *files):
      check_one(pathlib.Path(parent, name))
      if name in _ARRAY_HEADERS:
        _check_small(pathlib.Path(parent, name))


def check_one(place: pathlib.Path) -> None:
  """Refuses a link, a pipe or a device.

  Raises:
    CorruptError: it is one, or is not there.
  """
  try:
    mode = place.lstat().st_mode
  except OSError as error:
    raise unreadable(place, error) from error
  if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
    kind = "a link" if stat.S_ISLNK(mode) else "no plain file"
    raise faults.CorruptError(
      f"{place} is {kind}: nothing is read through it; copy what it stands "
      "for in its place (cp -rL)"
    )


def _check_small(place: pathlib.Path) -> None:
  size_bytes = place.lstat().st_size
  if size_bytes > LARGEST_METADATA_BYTES:
    raise faults.CorruptError(
      f"{place} has {size_bytes} bytes: metadata may have "
      f"{LARGEST_METADATA_BYTES}"
    )


def unreadable(place: pathlib.Path, error: Exception) -> faults.CorruptError:
  """Returns the error for what a library could not read, in one line."""
  text, _, _ = str(error).partition(" [tensorstore_spec=")
  reason = " ".join(text.split())[:300]
  return faults.CorruptError(
    f"{place} is unreadable: {type(error).__name__}: {reason}"
  )
