"""Reading a step: only what is asked for, and nothing that is not checked.

Every file that is read is compared with the manifest: sizes always, sha256
for small files and JSON, and the leaf digests for arrays. Hashing all of a
large data file to restore one array of it is left to `verify`.
"""

import concurrent.futures
import os
import pathlib
import stat
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from carnet import errors
from carnet.checkpoint import (
  components,
  digest,
  directory,
  documents,
  faults,
  leaves,
  manifest,
  store,
)

# Orbax's metadata stays below this; array data is checked leaf by leaf.
_SMALL_BYTES = 1 << 20
_LATER_FILES = (manifest.NAME, directory.SIGNOFF, directory.PASSPORT)


def specs(found: manifest.Manifest) -> dict[str, leaves.Spec]:
  """Returns what a step holds, by component path."""
  held = {
    leaf.path: leaves.Spec(leaf.shape, leaf.dtype, leaf.weak)
    for leaf in found.leaves
  }
  for name, kind in found.components.items():
    if kind == components.JSON:
      held[name] = leaves.JSON
  return held


def sizes(found: manifest.Manifest) -> dict[str, int]:
  """Returns the stored bytes, by component path."""
  files = {file.path: file.size_bytes for file in found.files}
  held = {leaf.path: leaf.size_bytes for leaf in found.leaves}
  for name, kind in found.components.items():
    if kind == components.JSON:
      held[name] = files[components.json_file(name)]
  return held


def check_files(path: pathlib.Path, found: manifest.Manifest) -> None:
  """Compares every file with the manifest; of array data the size alone.

  Raises:
    CorruptError: files differ; it names all of them.
  """
  data = [
    n for n, kind in found.components.items() if kind == components.ARRAYS
  ]
  _refuse(
    path,
    (
      _file_fault(
        path,
        file,
        hashed=file.size_bytes <= _SMALL_BYTES
        or file.path.split("/")[0] not in data,
      )
      for file in found.files
    ),
  )


def contents(
  path: pathlib.Path, found: manifest.Manifest, wanted: Collection[str]
) -> dict[str, Any]:
  """Returns the stored array, or JSON value, of each wanted component path.

  Raises:
    CorruptError: something read is not what was written; it names all of it.
  """
  values: dict[str, Any] = {}
  rows = {leaf.path: leaf for leaf in found.leaves}
  for name in sorted({component.split("/")[0] for component in wanted}):
    mine = [p for p in wanted if p.split("/")[0] == name]
    if found.components[name] == components.JSON:
      values[name] = json(path, found, components.json_file(name))
    else:
      values |= _arrays(path, found, name, [rows[p] for p in mine])
  return values


def json(path: pathlib.Path, found: manifest.Manifest, name: str) -> Any:
  """Returns the checked value of a JSON file of the step."""
  files = {file.path: file for file in found.files}
  if name not in files:
    raise errors.unknown(f"file in {path}", name, files)
  fault = _file_fault(path, files[name], hashed=True)
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
  try:
    contents(path, found, specs(found))
  except faults.CorruptError as error:
    problems.append(str(error))
  return problems


def _arrays(
  path: pathlib.Path,
  found: manifest.Manifest,
  name: str,
  rows: list[manifest.Leaf],
) -> dict[str, np.ndarray]:
  files = [f for f in found.files if f.path.startswith(f"{name}/")]
  small = [_file_fault(path, f, f.size_bytes <= _SMALL_BYTES) for f in files]
  _refuse(path, small)
  keys = {row.path: components.key(name, row.path) for row in rows}
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
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    _refuse(
      path, pool.map(_leaf_fault, rows, [read[keys[r.path]] for r in rows])
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


def _leaf_fault(row: manifest.Leaf, array: np.ndarray) -> str:
  try:
    shape, dtype = leaves.stored(leaves.Spec(row.shape, row.dtype))
  except ValueError as error:
    return f"leaf {row.path} has an {error}"
  if array.dtype != dtype or (shape is not None and array.shape != shape):
    found = f"{array.dtype.name}{list(array.shape)}"
    return f"leaf {row.path} is {found}, not {row.dtype}{list(row.shape)}"
  if (
    digest.leaf(np.ascontiguousarray(array).reshape(array.shape)) != row.sha256
  ):
    return f"leaf {row.path} differs from its sha256"
  return ""


def _empty(row: manifest.Leaf) -> np.ndarray:
  shape, dtype = leaves.stored(leaves.Spec(row.shape, row.dtype))
  if shape is None:  # no keys at all: the integers of one make the last axis
    shape = row.shape + leaves.key_shape(row.dtype)
  return np.empty(shape, dtype)
