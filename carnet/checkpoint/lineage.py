"""Where a run comes from: the checkpoints whose leaves it started with."""

import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from carnet.checkpoint import digest, manifest

Lineage = tuple[Mapping[str, Any], ...]


def extend(
  lineage: Lineage,
  place: pathlib.Path,
  found: manifest.Manifest,
  components: Collection[str] | None,
  regex: str | None,
  rename: Mapping[str, str] | None,
) -> Lineage:
  """Returns the lineage with the parent at `place`, after its own parents.

  The last three arguments say which part of the parent was taken.
  """
  parent = {
    "path": str(place.resolve()),
    "step": found.step,
    "manifest_sha256": digest.file(place / manifest.NAME),
    "tree_sha256": found.tree_sha256,
    "components": sorted(components) if components is not None else None,
    "regex": regex,
    "rename": dict(rename or {}),
  }
  news = [entry for entry in (*found.lineage, parent) if entry not in lineage]
  return (*lineage, *news)
