"""What leaves can be restored from: our own steps, or what others wrote."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from carnet.checkpoint import (
  digest,
  directory,
  faults,
  foreign,
  leaves,
  manifest,
  plain_file,
  processes,
  reader,
)

_Result = TypeVar("_Result")


@runtime_checkable
class Source(Protocol):
  """Something that holds leaves by path."""

  @property
  def path(self) -> pathlib.Path:
    """Where it lies."""

  @property
  def step(self) -> int | None:
    """The training step it was saved at, if it says so."""

  def specs(self) -> Mapping[str, leaves.Spec]:
    """Returns what it holds, from metadata alone."""

  def sizes(self) -> Mapping[str, int]:
    """Returns the bytes of each leaf."""

  def contents(self, wanted: Collection[str]) -> dict[str, Any]:
    """Returns the wanted leaves, and reads no others."""


@dataclasses.dataclass(frozen=True)
class Step:
  """A step directory of ours; `hashed` compares what is read with digests."""

  path: pathlib.Path
  found: manifest.Manifest
  hashed: bool = True

  @property
  def step(self) -> int:
    """The training step it was saved at."""
    return self.found.step

  def specs(self) -> Mapping[str, leaves.Spec]:
    """Returns what it holds for this process."""
    return reader.specs(self.found, processes.this())

  def sizes(self) -> Mapping[str, int]:
    """Returns the stored bytes of each leaf."""
    return reader.sizes(self.found)

  def contents(self, wanted: Collection[str]) -> dict[str, Any]:
    """Returns the wanted leaves.

    Raises:
      CorruptError: something read is not what was written.
    """
    return reader.contents(self.path, self.found, wanted, self.hashed)


def find(path: pathlib.Path, hashed: bool = True) -> Source:
  """Returns the source that `path` means; of several steps, the newest.

  Raises:
    UserError: there is none.
    CorruptError: it is a step of ours, but damaged.
  """
  return use(path, lambda source: source, hashed)


def use(
  path: pathlib.Path,
  function: Callable[[Source], _Result],
  hashed: bool = True,
) -> _Result:
  """Returns `function(source)` of the source that `path` means.

  Called again with a newer step when retention deleted the chosen one
  meanwhile; a `path` that names a step is never exchanged for another.

  Args:
    path: as for `find`.
    function: reads from the source, and changes nothing before that is done.
    hashed: compare what is read with its sha256.

  Raises:
    UserError: there is no source.
    CorruptError: it is a step of ours, but damaged.
  """
  ours = (path / manifest.NAME).exists()
  other = None if ours else foreign.find(path)
  if other is not None:
    return function(other)

  def of_step(place: pathlib.Path) -> _Result:
    return function(Step(place, directory.read_manifest(place), hashed))

  return use_step(path, of_step)


def use_step(
  path: pathlib.Path, function: Callable[[pathlib.Path], _Result]
) -> _Result:
  """Returns `function(step directory)` of the step that `path` means.

  When it fails because retention deleted the step meanwhile, and `path` did
  not name that step, it is called again with the one that is newest now.
  """
  for _ in range(directory.ATTEMPTS):
    place = directory.resolve(path)
    try:
      return function(place)
    except (faults.CorruptError, OSError) as error:
      if place == path or os.path.lexists(place):
        raise
      last = error
  raise last


def advice(source: Source) -> str:
  """Returns what to know about states that other processes saved."""
  if not isinstance(source, Step):
    return ""
  here = processes.this().count
  alien = {n: c for n, c in source.found.processes.items() if c != here}
  return "".join(
    f"; each of {count} processes saved its own '{name}', and here are {here}: "
    f"it cannot be carried over, exclude='{name}(/.*)?' leaves it out"
    for name, count in alien.items()
  )


def digests(source: Source, values: Mapping[str, Any]) -> dict[str, str]:
  """Returns what identifies the parent in a lineage.

  Of others' checkpoints this is a digest over the leaves that were taken.
  """
  if isinstance(source, Step):
    content = plain_file.read(source.path / manifest.NAME)
    return {
      "manifest_sha256": digest.data(content),
      "tree_sha256": source.found.tree_sha256,
    }
  taken = ((path, digest.leaf(x)) for path, x in values.items())
  return {"taken_tree_sha256": digest.tree(taken)}
