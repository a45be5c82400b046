"""Chunks: arrays that never change again, kept in files that steps share.

A replay buffer of gigabytes gains little between two saves. Made of chunks, it
costs what is new: a chunk's file is named by the sha256 of its content, is
written once, and every step that needs it names it in its manifest.

    checkpoints/
      chunks/3f/3f9c...e1.safetensors
      000001000/replay/state.json   and, in manifest.json, the chunks' names
"""

import os
import pathlib
import random
import re
import stat
import time
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from carnet import errors
from carnet.checkpoint import (
  digest,
  directory,
  faults,
  manifest,
  plain_file,
  safetensors_dtypes,
)

SUFFIX = ".safetensors"
_OWN_NAME = re.compile(r"[0-9a-f]{64}\.safetensors(\.[0-9]+\.[0-9]+\.writing)?")
_RECHECKED_BYTES = 4 << 20  # at each save, or as much as is new
_ALLOWED = frozenset(map(np.dtype, safetensors_dtypes.BY_NAME.values()))


class Chunk:
  """Named arrays that stay as they are, such as a stretch of a replay buffer.

  Attributes:
    arrays: read-only.

  Args:
    arrays: of numpy or JAX. A numpy array that owns its memory is made
      read-only and not copied, all others are copied. A writable view that
      was taken of such an array before can still change it: what is saved then
      is not what the digest says, so pass a copy where one is kept.

  Raises:
    UserError: a name or an array is of a kind that a chunk cannot hold.
  """

  def __init__(self, arrays: Mapping[str, Any]) -> None:
    for name, array in arrays.items():
      _check_name(name)
      _check_array(name, array)
    self.arrays: Mapping[str, np.ndarray] = types.MappingProxyType(
      {name: _frozen(array) for name, array in arrays.items()}
    )
    self.named: tuple[str, int] | None = None  # sha256 and size of the file
    self.home: pathlib.Path | None = None  # where its file is and was checked

  def encode(self) -> bytes:
    """Returns the content of the chunk's file; equal arrays, equal content."""
    return safetensors.numpy.save(dict(self.arrays))


class Chunked:
  """The state of a component that is made of chunks.

  Attributes:
    chunks: in an order that means something to the component.
    facts: everything else about the state, as JSON.
  """

  def __init__(self, chunks: Iterable[Chunk], facts: Any = None) -> None:
    self.chunks = tuple(chunks)
    self.facts = facts


def put_all(
  root: pathlib.Path, chunks: Sequence[Chunk], component: str
) -> list[manifest.Chunk]:
  """Makes sure that the chunks' files are in the store; returns their rows.

  Of the files that were there, as many bytes as are new, but 4 MiB at least,
  are read again by turns of chance: one that rots is written again while memory
  has it, before all steps depend on it.
  """
  old = [chunk for chunk in chunks if chunk.home == root]
  new = [put(root, chunk, component) for chunk in chunks if chunk.home != root]
  budget = max(_RECHECKED_BYTES, sum(row.size_bytes for row in new))
  for chunk in random.sample(old, len(old)):
    budget -= chunk.named[1] if chunk.named else 0
    if budget < 0:
      break
    chunk.home = None
  return [put(root, chunk, component) for chunk in chunks]


def put(root: pathlib.Path, chunk: Chunk, component: str) -> manifest.Chunk:
  """Makes sure that the chunk's file is in the store; returns its row.

  A chunk that came from there costs a look at its size; a file that somebody
  else wrote is read before it is relied on.
  """
  content = None
  if chunk.named is None:
    content = chunk.encode()
    chunk.named = (digest.data(content), len(content))
  row = manifest.Chunk(component, *chunk.named)
  path = place(root, row.sha256)
  if chunk.home != root or not _has_size(path, row.size_bytes):
    if fault(root, row):
      _write(root, path, chunk.encode() if content is None else content)
    chunk.home = root
  return row


def load(root: pathlib.Path, row: manifest.Chunk, hashed: bool = True) -> Chunk:
  """Returns a stored chunk, all of it read and compared with its digest.

  Raises:
    CorruptError: the file is not what was written.
  """
  content = _read(root, row, hashed)
  try:
    arrays = {
      name: _array(view) for name, view in safetensors.deserialize(content)
    }
  except (safetensors.SafetensorError, KeyError, ValueError) as error:
    raise faults.CorruptError(
      f"{_relative(row)} is not a chunk: {error}"
    ) from error
  chunk = Chunk({})
  chunk.arrays = types.MappingProxyType(arrays)
  chunk.named = (row.sha256, row.size_bytes)
  chunk.home = root if hashed else None
  return chunk


def _array(view: Mapping[str, Any]) -> np.ndarray:
  flat = np.frombuffer(view["data"], safetensors_dtypes.BY_NAME[view["dtype"]])
  return flat.reshape(view["shape"])


def fault(root: pathlib.Path, row: manifest.Chunk) -> str:
  """Returns what is wrong with a chunk's file, or nothing."""
  try:
    _read(root, row, hashed=True)
  except faults.CorruptError as error:
    return str(error)
  return ""


def _behind_link(root: pathlib.Path, path: pathlib.Path) -> bool:
  home = root.resolve() / directory.CHUNKS / path.parent.name
  return path.parent.resolve() != home


def stored(root: pathlib.Path) -> dict[pathlib.Path, str]:
  """Returns `file -> sha256 in its name` for the chunks in the store.

  Of a draft that was left behind, the whole name. Files with other names, and
  what is behind a link, are somebody else's.
  """
  return {
    path: path.name.removesuffix(SUFFIX)
    for path in (root / directory.CHUNKS).glob("*/*")
    if _OWN_NAME.fullmatch(path.name)
    and not _behind_link(root, path)
    and stat.S_ISREG(path.lstat().st_mode)
  }


def place(root: pathlib.Path, sha256: str) -> pathlib.Path:
  """Returns where the store of a directory of steps keeps a chunk."""
  return root / directory.CHUNKS / sha256[:2] / f"{sha256}{SUFFIX}"


def _check_name(name: Any) -> None:
  try:
    sound = name not in ("", "__metadata__") and name.encode()
  except (AttributeError, UnicodeEncodeError):  # no text; a lone surrogate
    sound = False
  if not sound:
    raise errors.UserError(
      f"{name!r} cannot name an array of a chunk: use text that is neither "
      "empty nor '__metadata__'"
    )


def _check_array(name: str, array: Any) -> None:
  masked = isinstance(array, np.ma.MaskedArray)
  if masked or not hasattr(array, "__array__"):
    raise errors.UserError(
      f"array '{name}' of a chunk is of type {type(array).__name__}: convert "
      "it with np.asarray"
    )
  dtype = getattr(array, "dtype", None)
  if not (isinstance(dtype, np.dtype) and dtype in _ALLOWED and dtype.isnative):
    raise errors.UserError(
      f"array '{name}' of a chunk is of {dtype}: use one of "
      f"{', '.join(sorted(d.name for d in _ALLOWED))}"
    )


def _frozen(array: Any) -> np.ndarray:
  owned = type(array) is np.ndarray and array.base is None
  own = np.array(array, order="C", copy=None if owned else True)
  own.flags.writeable = False
  return own


def _has_size(path: pathlib.Path, size_bytes: int) -> bool:
  try:
    return path.stat().st_size == size_bytes
  except OSError:
    return False


def _read(root: pathlib.Path, row: manifest.Chunk, hashed: bool) -> bytes:
  name, path = _relative(row), place(root, row.sha256)
  if _behind_link(root, path):
    raise faults.CorruptError(f"{name} is behind a link")
  try:
    content = plain_file.read(path, row.size_bytes)
  except faults.CorruptError as error:
    raise faults.CorruptError(f"{name}: {error}") from error
  if len(content) != row.size_bytes:
    raise faults.CorruptError(
      f"{name} has {len(content)} bytes of {row.size_bytes}"
    )
  if hashed and digest.data(content) != row.sha256:
    raise faults.CorruptError(f"{name} differs from its sha256")
  return content


def _relative(row: manifest.Chunk) -> str:
  return f"{place(pathlib.Path(), row.sha256)} of {row.component}"


def _write(root: pathlib.Path, path: pathlib.Path, content: bytes) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  if _behind_link(root, path):
    raise errors.UserError(
      f"{path.parent} is a link or behind one: the chunks of {root} must lie "
      "in it; move the whole directory instead"
    )
  draft = path.with_name(
    f"{path.name}.{os.getpid()}.{time.monotonic_ns()}.writing"
  )
  try:
    with open(draft, "xb") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.rename(draft, path)
    directory.synchronize(path.parent)
  except BaseException:
    draft.unlink(missing_ok=True)
    raise
