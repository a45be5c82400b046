"""What a step holds: read from its manifest, without JAX.

Only `verify` reads arrays, and imports the library that does. Everything
returned is data, which `tables.py` draws.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from carnet import errors
from carnet.checkpoint import directory, manifest

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
  found = directory.read_manifest(place)
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
    return reader.verify(path)
  except errors.UserError as error:
    return [str(error)]


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
