"""What a step holds: read from its manifest, without JAX.

Only `verify` reads arrays, and imports the library that does. Everything
returned is data, which `tables.py` draws.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from carnet import errors
from carnet.checkpoint import directory, faults, manifest

ARRAYS, JSON, CHUNKS = "arrays", "json", "chunks"  # kinds of component


@dataclasses.dataclass(frozen=True)
class Component:
  """One component of a step; `processes` is 0 unless each saved its own."""

  name: str
  kind: str
  size_bytes: int
  leaves: int
  chunks: int
  processes: int


@dataclasses.dataclass(frozen=True)
class Contents:
  """All that a manifest says, with what has been attached to the step."""

  path: str
  step: int
  created_utc: str
  signed: bool
  tree_sha256: str
  size_bytes: int
  metrics: Mapping[str, float | None]
  components: tuple[Component, ...]
  leaves: tuple[manifest.Leaf, ...]
  attached: tuple[manifest.File, ...]
  lineage: tuple[Mapping[str, Any], ...]
  libraries: Mapping[str, str]


def root_of(path: pathlib.Path) -> pathlib.Path:
  """Returns the directory of steps that a workdir or itself means.

  Raises:
    UserError: no step is there.
  """
  if (path / manifest.NAME).exists():
    raise errors.UserError(
      f"{path} is one step: give its directory of steps, or the workdir"
    )
  for root in (path, path / directory.STEPS):
    if directory.numbered(root):
      return root
  raise errors.UserError(
    f"no checkpoint at {path}: give a directory of steps, or a workdir with "
    f"'{directory.STEPS}/'"
  )


def targets(path: pathlib.Path) -> list[pathlib.Path]:
  """Returns the step at `path`, or all steps there, damaged ones included.

  Raises:
    UserError: no step is there.
  """
  named = path.name.isdecimal() and path in directory.numbered(path.parent)
  if named or (path / manifest.NAME).exists():
    return [path]
  return directory.numbered(root_of(path))


def contents(path: pathlib.Path) -> Contents:
  """Returns what the step that `path` means says of itself.

  Raises:
    CorruptError: its manifest is damaged.
    UserError: there is no step.
  """
  place = directory.resolve(path)
  found = read_manifest(place)
  return Contents(
    path=str(place),
    step=found.step,
    created_utc=found.created_utc,
    signed=(place / directory.SIGNOFF).exists(),
    tree_sha256=found.tree_sha256,
    size_bytes=sum(file.size_bytes for file in found.files),
    metrics=found.metrics,
    components=tuple(_component(found, name) for name in found.components),
    leaves=found.leaves,
    attached=tuple(attached(found)),
    lineage=found.lineage,
    libraries=found.libraries,
  )


def verify(path: pathlib.Path) -> list[str]:
  """Returns every fault of one step directory; reads all of it."""
  from carnet.checkpoint import reader  # imports JAX

  try:
    read_manifest(path)
    return reader.verify(path)
  except errors.UserError as error:
    return [str(error)]


def read_manifest(path: pathlib.Path) -> manifest.Manifest:
  """Returns a step's manifest, every number and name of it of its type.

  Raises:
    CorruptError: it is damaged, or holds what no carnet wrote.
  """
  try:
    found = directory.read_manifest(path)
  except (AttributeError, TypeError, ValueError) as error:
    where = path / manifest.NAME
    raise faults.CorruptError(f"{where} is malformed: {error}") from error
  for what, right in _typed(found):
    if not right:
      raise faults.CorruptError(
        f"{path / manifest.NAME} is malformed: {what} has a value of another "
        "type than carnet writes"
      )
  return found


def attached(found: manifest.Manifest) -> Iterator[manifest.File]:
  """Yields the files that belong to no component."""
  for file in found.files:
    if file.path.split("/")[0] not in found.components:
      yield file


def chunk_rows(
  found: manifest.Manifest, name: str
) -> dict[str, manifest.Chunk]:
  """Returns the chunks of one component, by sha256."""
  rows = (row for row in found.chunks if row.component.split("/")[0] == name)
  return {row.sha256: row for row in rows}


def _typed(found: manifest.Manifest) -> Iterator[tuple[str, bool]]:
  yield "step", type(found.step) is int
  yield "created_utc", type(found.created_utc) is str
  yield "metrics", _maps(found.metrics, (int, float, type(None)))
  yield "libraries", _maps(found.libraries, (str,))
  yield "components", _maps(found.components, (str,))
  yield "processes", _maps(found.processes, (int,))
  yield "lineage", all(type(entry) is dict for entry in found.lineage)
  rows: list[manifest.Leaf | manifest.File | manifest.Chunk] = [
    *found.leaves,
    *found.files,
    *found.chunks,
  ]
  for row in rows:
    yield "sha256", type(row.sha256) is str
    yield "size_bytes", _is_count(row.size_bytes)
  for leaf in found.leaves:
    yield "shape", all(map(_is_count, leaf.shape))
    yield "dtype", type(leaf.dtype) is str


def _is_count(value: Any) -> bool:
  return type(value) is int and value >= 0


def _maps(value: Any, kinds: tuple[type, ...]) -> bool:
  return type(value) is dict and all(type(v) in kinds for v in value.values())


def _component(found: manifest.Manifest, name: str) -> Component:
  leaves = [leaf for leaf in found.leaves if leaf.path.split("/")[0] == name]
  files = [file for file in found.files if file.path.startswith(f"{name}/")]
  rows = chunk_rows(found, name)
  stored: list[Any] = [*(leaves or files), *rows.values()]
  return Component(
    name=name,
    kind=found.components[name],
    size_bytes=sum(row.size_bytes for row in stored),
    leaves=len(leaves),
    chunks=len(rows),
    processes=found.processes.get(name, 0),
  )
