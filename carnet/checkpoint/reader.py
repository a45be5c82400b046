"""Reading a step: only what is asked for, and nothing that is not checked.

Every file that is read is compared with the manifest: sizes always, sha256
for small files, JSON and chunks, and the leaf digests for arrays. Hashing all
of a large data file to restore one array of it is left to `verify`.
"""

import concurrent.futures
import os
import pathlib
import stat
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from carnet import errors
from carnet.checkpoint import (
  chunks,
  components,
  digest,
  directory,
  documents,
  faults,
  leaves,
  manifest,
  processes,
  store,
)

# Orbax's metadata stays below this; array data is checked leaf by leaf.
_SMALL_BYTES = 1 << 20
_LATER_FILES = (manifest.NAME, directory.SIGNOFF, directory.PASSPORT)


def specs(
  found: manifest.Manifest, process: processes.Process | None = None
) -> dict[str, leaves.Spec]:
  """Returns what a step holds, by component path.

  With a `process`, without the states that as many others saved for themselves.
  """
  held = {
    leaf.path: leaves.Spec(leaf.shape, leaf.dtype, leaf.weak)
    for leaf in found.leaves
  }
  for name, kind in found.components.items():
    if kind != components.ARRAYS:
      whole = leaves.JSON if kind == components.JSON else leaves.CHUNKS
      held |= dict.fromkeys(found.roots(name), whole)
  if process is None:
    return held
  others = {
    root
    for name, count in found.processes.items()
    if count == process.count
    for root in set(found.roots(name)) - {process.within(name)}
  }
  return {
    path: spec
    for path, spec in held.items()
    if "/".join(path.split("/")[:2]) not in others
  }


def sizes(found: manifest.Manifest) -> dict[str, int]:
  """Returns the stored bytes, by component path."""
  files = {file.path: file.size_bytes for file in found.files}
  held = {leaf.path: leaf.size_bytes for leaf in found.leaves}
  for name, kind in found.components.items():
    if kind != components.ARRAYS:
      for root in found.roots(name):
        held[root] = files[components.json_file(root)]
  for chunk in found.chunks:
    held[chunk.component] += chunk.size_bytes
  return held


def check_files(
  path: pathlib.Path, found: manifest.Manifest, hashed: bool
) -> None:
  """Compares every file with the manifest; of array data the size alone.

  Raises:
    CorruptError: files differ; it names all of them.
  """
  data = [
    n for n, kind in found.components.items() if kind == components.ARRAYS
  ]

  def fault(file: manifest.File) -> str:
    small = file.size_bytes <= _SMALL_BYTES
    other = components.name_of(file.path) not in data
    return _file_fault(path, file, hashed and (small or other))

  _refuse(path, map(fault, found.files))


def contents(
  path: pathlib.Path,
  found: manifest.Manifest,
  wanted: Collection[str],
  hashed: bool = True,
) -> dict[str, Any]:
  """Returns the array, JSON value or `Chunked` of each wanted component path.

  Args:
    path: the step directory.
    found: its manifest.
    wanted: component paths of `specs`; nothing else is read.
    hashed: compare what is read with its sha256.

  Raises:
    CorruptError: something read is not what was written; it names all of it.
  """
  values: dict[str, Any] = {}
  rows = {leaf.path: leaf for leaf in found.leaves}
  for name in sorted({components.name_of(component) for component in wanted}):
    mine = [p for p in wanted if components.name_of(p) == name]
    if found.components[name] == components.ARRAYS:
      values |= _arrays(path, found, name, [rows[p] for p in mine], hashed)
      continue
    for root in mine:
      values[root] = json(path, found, components.json_file(root), hashed)
      if found.components[name] == components.CHUNKS:
        values[root] = chunks.Chunked(
          _chunks(path, found, root, hashed), values[root]
        )
  return values


def json(
  path: pathlib.Path,
  found: manifest.Manifest,
  name: str,
  hashed: bool = True,
) -> Any:
  """Returns the checked value of a JSON file of the step."""
  files = {file.path: file for file in found.files}
  if name not in files:
    raise errors.unknown(f"file in {path}", name, files)
  fault = _file_fault(path, files[name], hashed)
  if fault:
    raise faults.CorruptError(f"{path}: {fault}")
  return documents.decode((path / name).read_bytes(), str(path / name))


def verify(path: pathlib.Path) -> list[str]:
  """Returns every fault of a step directory, each naming a file or leaf."""
  try:
    found = directory.read_manifest(path)
  except faults.CorruptError as error:
    return [str(error)]
  faulty = [_file_fault(path, file, hashed=True) for file in found.files]
  problems = [fault for fault in faulty if fault]
  listed = {file.path for file in found.files}.union(_LATER_FILES)
  for extra in sorted(set(directory.files(path)) - listed):
    problems.append(f"{extra} is not in the manifest")
  problems += filter(None, (chunks.fault(path.parent, c) for c in found.chunks))
  arrays = [leaf.path for leaf in found.leaves]
  try:
    contents(path, found, arrays)
  except faults.CorruptError as error:
    problems.append(str(error))
  return problems


def _chunks(
  path: pathlib.Path, found: manifest.Manifest, root: str, hashed: bool
) -> list[chunks.Chunk]:
  rows = [row for row in found.chunks if row.component == root]
  store_of = path.resolve().parent
  if rows and not (store_of / directory.CHUNKS).is_dir():
    raise faults.CorruptError(
      f"{root} of {path} needs {directory.CHUNKS}/ beside the step: copy the "
      "whole directory of steps, or restore other components"
    )

  def load(row: manifest.Chunk) -> chunks.Chunk | str:
    try:
      return chunks.load(store_of, row, hashed)
    except faults.CorruptError as error:
      return str(error)

  loaded = _in_threads(load, rows)
  _refuse(path, (text for text in loaded if isinstance(text, str)))
  return [chunk for chunk in loaded if isinstance(chunk, chunks.Chunk)]


def _in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list:
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(function, items))


def _arrays(
  path: pathlib.Path,
  found: manifest.Manifest,
  name: str,
  rows: list[manifest.Leaf],
  hashed: bool,
) -> dict[str, np.ndarray]:
  files = [f for f in found.files if f.path.startswith(f"{name}/")]
  _refuse(
    path,
    (
      _file_fault(path, file, hashed and file.size_bytes <= _SMALL_BYTES)
      for file in files
    ),
  )
  keys = {row.path: components.key(row.path) for row in rows}
  full = [keys[row.path] for row in rows if row.size_bytes]
  try:
    read = store.read(path / name, full) if full else {}
  except Exception as error:
    # The library's message seldom says which file it could not use.
    _refuse(path, [_file_fault(path, file, hashed=True) for file in files])
    raise faults.CorruptError(
      f"{path / name} is unreadable: {type(error).__name__}: {error}"
    ) from error
  for row in rows:
    if not row.size_bytes:
      read[keys[row.path]] = _empty(row)
  _refuse(
    path,
    _in_threads(
      lambda row: _leaf_fault(row, read[keys[row.path]], hashed), rows
    ),
  )
  return {row.path: read[keys[row.path]] for row in rows}


def _refuse(path: pathlib.Path, found: Iterable[str]) -> None:
  listed = [fault for fault in found if fault]
  if listed:
    raise faults.CorruptError(f"{path} is damaged: {'; '.join(listed)}")


def _file_fault(root: pathlib.Path, file: manifest.File, hashed: bool) -> str:
  try:
    path = root / file.path
    status = os.lstat(path)
    # Nothing in the checkpoint may point out of it, nor to a device.
    if path.resolve() != root.resolve() / file.path:
      return f"{file.path} is behind a link"
    if not stat.S_ISREG(status.st_mode):
      return f"{file.path} is not a plain file"
    if status.st_size != file.size_bytes:
      return f"{file.path} has {status.st_size} bytes of {file.size_bytes}"
    if hashed and digest.file(path) != file.sha256:
      return f"{file.path} differs from its sha256"
  except OSError as error:
    return f"{file.path} is unreadable: {error.strerror}"
  return ""


def _leaf_fault(row: manifest.Leaf, array: np.ndarray, hashed: bool) -> str:
  try:
    shape, dtype = leaves.stored(leaves.Spec(row.shape, row.dtype))
  except ValueError as error:
    return f"leaf {row.path} has an {error}"
  if array.dtype != dtype or (shape is not None and array.shape != shape):
    found = f"{array.dtype.name}{list(array.shape)}"
    return f"leaf {row.path} is {found}, not {row.dtype}{list(row.shape)}"
  own = np.ascontiguousarray(array).reshape(array.shape)
  if hashed and digest.leaf(own) != row.sha256:
    return f"leaf {row.path} differs from its sha256"
  return ""


def _empty(row: manifest.Leaf) -> np.ndarray:
  shape, dtype = leaves.stored(leaves.Spec(row.shape, row.dtype))
  if shape is None:  # no keys at all: the integers of one make the last axis
    shape = row.shape + leaves.key_shape(row.dtype)
  return np.empty(shape, dtype)
