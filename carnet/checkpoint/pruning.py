"""Deleting steps, and the chunks that nobody names any more."""

import dataclasses
import pathlib
import re
from collections.abc import Collection, Mapping

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
  files = chunks.stored(root)
  if keep is None and not files:
    return Pruned((), (), 0)
  sound = directory.complete(root)
  doomed = _doomed(root, sound, keep, unsound) if keep is not None else []
  places = [root / directory.step_name(step) for step in doomed]
  size_bytes = sum(map(directory.size_bytes, places))
  if not dry_run:
    for place in places:
      directory.remove(place)
  for step in doomed:
    del sound[step]
  orphans = _orphans(root, sound, places, files) if files else {}
  size_bytes += sum(path.lstat().st_size for path in orphans)
  if not dry_run:
    for path in orphans:
      path.unlink(missing_ok=True)
  gone = tuple(sorted(orphans.values()))
  return Pruned(tuple(doomed), gone, size_bytes)


def _doomed(
  root: pathlib.Path,
  sound: Mapping[int, manifest.Manifest],
  keep: retention.Retention,
  unsound: frozenset[int],
) -> list[int]:
  entries = []
  for step, found in sound.items():
    if step not in unsound:
      path = root / directory.step_name(step)
      signed = (path / directory.SIGNOFF).exists()
      entries.append(retention.Entry(step, found.metrics, signed))
  kept = keep.kept(entries)
  return [entry.step for entry in entries if entry.step not in kept]


def _orphans(
  root: pathlib.Path,
  sound: Mapping[int, manifest.Manifest],
  doomed: Collection[pathlib.Path],
  files: Mapping[pathlib.Path, str],
) -> dict[pathlib.Path, str]:
  """Returns the chunk files that no step names; `doomed` steps do not count."""
  named = {c.sha256 for found in sound.values() for c in found.chunks}
  known = {root / directory.step_name(step) for step in sound}.union(doomed)
  for path in root.glob(f"*/{manifest.NAME}"):
    if path.parent not in known:  # damaged, set aside, or of another version
      try:
        named |= _named(path)
      except errors.UserError:
        return {}  # what it names is not known, so everything stays
  return {path: name for path, name in files.items() if name not in named}


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
