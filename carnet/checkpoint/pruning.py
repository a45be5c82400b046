"""Deleting steps, and the chunks that nobody names any more."""

import dataclasses
import pathlib
import re

from carnet import errors
from carnet.checkpoint import (
  chunks,
  directory,
  faults,
  manifest,
  plain_file,
  retention,
)

_ANY_SHA256 = re.compile(rb"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Pruned:
  """What was deleted, or would be: steps, chunks by sha256, and the bytes."""

  steps: tuple[int, ...]
  chunks: tuple[str, ...]
  size_bytes: int


def prune(
  root: pathlib.Path,
  keep: retention.Retention | None,
  unsound: frozenset[int] = frozenset(),
  dry_run: bool = False,
) -> Pruned:
  """Deletes the complete steps that `keep` lets go, and orphaned chunks.

  None keeps all steps. The newest, the signed, the damaged and the `unsound`
  steps stay. The caller holds the directory's lock.
  """
  doomed = _doomed(root, keep, unsound) if keep is not None else []
  places = [root / directory.step_name(step) for step in doomed]
  size_bytes = sum(map(directory.size_bytes, places))
  if not dry_run:
    for place in places:
      directory.remove(place)
  gone, freed = _collect(root, places, dry_run)
  return Pruned(tuple(doomed), gone, size_bytes + freed)


def _doomed(
  root: pathlib.Path, keep: retention.Retention, unsound: frozenset[int]
) -> list[int]:
  entries = []
  for step, found in directory.complete(root).items():
    if step not in unsound:
      path = root / directory.step_name(step)
      signed = (path / directory.SIGNOFF).exists()
      entries.append(retention.Entry(step, found.metrics, signed))
  kept = keep.kept(entries)
  return [entry.step for entry in entries if entry.step not in kept]


def _collect(
  root: pathlib.Path, doomed: list[pathlib.Path], dry_run: bool
) -> tuple[tuple[str, ...], int]:
  """Deletes the chunk files that no step names; `doomed` steps do not count."""
  files = chunks.stored(root)
  if not files:
    return (), 0
  named = set()
  for path in root.glob(f"*/{manifest.NAME}"):
    if path.parent not in doomed:
      try:
        named |= _named(path)
      except errors.UserError:
        return (), 0  # what it names is not known, so everything stays
  orphans = {path: name for path, name in files.items() if name not in named}
  freed = sum(path.lstat().st_size for path in orphans)
  if not dry_run:
    for path in orphans:
      path.unlink(missing_ok=True)
  return tuple(sorted(orphans.values())), freed


def _named(path: pathlib.Path) -> set[str]:
  """Returns the chunks a manifest names, and of a damaged one all it could.

  Raises:
    CorruptError: it is not there, or no plain file.
    FormatError: only another version knows what it names.
  """
  content = plain_file.read(path)
  try:
    found = manifest.decode(content, str(path))
  except faults.CorruptError:
    return {name.decode() for name in _ANY_SHA256.findall(content)}
  return {chunk.sha256 for chunk in found.chunks}
