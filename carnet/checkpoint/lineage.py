"""Where a run comes from: the checkpoints whose leaves it started with."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

Lineage = tuple[Mapping[str, Any], ...]


def entry(
  path: pathlib.Path,
  step: int | None,
  digests: Mapping[str, str],
  selection: Mapping[str, Any],
) -> dict[str, Any]:
  """Returns the facts about a parent; `selection` says what was taken."""
  return {"path": str(path.resolve()), "step": step, **digests, **selection}


def extend(lineage: Lineage, entries: Iterable[Mapping[str, Any]]) -> Lineage:
  """Returns the lineage with more entries, oldest first, none of them twice."""
  for found in entries:
    if found not in lineage:
      lineage = (*lineage, found)
  return lineage
