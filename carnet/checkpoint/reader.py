"""Reading a step: only what is asked for, and nothing that is not checked.

Every file that is read is compared with the manifest: sizes always, sha256
for small files, JSON and chunks, and the leaf digests for arrays. Hashing all
of a large data file to restore one array of it is left to `verify`.
"""

import os
import pathlib
from collections.abc import Collection
from typing import Any

from carnet import errors
from carnet.checkpoint import (
  array_files,
  chunks,
  components,
  directory,
  faults,
  integrity,
  leaves,
  manifest,
  processes,
)

_LATER_FILES = (
  manifest.NAME,
  directory.SIGNOFF,
  directory.PASSPORT,
  directory.SIGNATURE,
)


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
    small = file.size_bytes <= integrity.SMALL_BYTES
    other = components.name_of(file.path) not in data
    return integrity.file_fault(path, file, hashed and (small or other))

  integrity.refuse(path, map(fault, found.files))


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
      arrays = [rows[p] for p in mine]
      values |= array_files.read(path, found, name, arrays, hashed)
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
  return integrity.document(path, files[name], hashed)


def verify(path: pathlib.Path) -> list[str]:
  """Returns every fault of a step directory, each naming a file or leaf."""
  try:
    found = directory.read_manifest(path)
  except errors.UserError as error:  # damage, or a newer format
    return [str(error)]
  faulty = [
    integrity.file_fault(path, file, hashed=True) for file in found.files
  ]
  problems = [fault for fault in faulty if fault]
  listed = {file.path for file in found.files}.union(_LATER_FILES)
  for extra in sorted(set(directory.files(path)) - listed):
    if not extra.startswith(directory.REFERENCES):  # the passport has them
      problems.append(f"{extra} is not in the manifest")
  problems += filter(None, (chunks.fault(path.parent, c) for c in found.chunks))
  arrays = [leaf.path for leaf in found.leaves]
  try:
    contents(path, found, arrays)
  except faults.CorruptError as error:
    problems.append(str(error))
  return problems


def verify_steps(root: pathlib.Path) -> dict[int, list[str]]:
  """Returns the faults of each step below `root`; sound steps have none.

  Steps that retention deleted meanwhile are left out.
  """
  found: dict[int, list[str]] = {}
  for path in directory.numbered(root):
    faulty = verify(path)
    if os.path.lexists(path):
      found.setdefault(int(path.name), []).extend(faulty)
  return found


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

  loaded = integrity.in_threads(load, rows)
  integrity.refuse(path, (text for text in loaded if isinstance(text, str)))
  return [chunk for chunk in loaded if isinstance(chunk, chunks.Chunk)]
