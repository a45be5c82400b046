"""Where a run comes from: the checkpoints whose leaves it started with."""

import dataclasses
import pathlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

Lineage = tuple[Mapping[str, Any], ...]
IMPORT = "import"  # the relation of an entry that another program wrote
TOLD_BY = (
  "told_by"  # names the file that an entry is from, if nothing proves it
)


@dataclasses.dataclass(frozen=True)
class Part:
  """Which leaves were asked for; see `Checkpoint.load`."""

  components: Collection[str] | None = None
  regex: str | None = None
  rename: Mapping[str, str] | None = None
  exclude: str | None = None

  @property
  def is_all(self) -> bool:
    """Tells whether nothing was left out or renamed."""
    return self == Part()


def entry(
  path: pathlib.Path,
  step: int | None,
  digests: Mapping[str, str],
  part: Part,
) -> dict[str, Any]:
  """Returns the facts about a parent; `part` is what was taken of it."""
  names = part.components
  return {
    "path": str(path.resolve()),
    "step": step,
    **digests,
    "components": sorted(names) if names is not None else None,
    "regex": part.regex,
    "rename": dict(part.rename or {}),
    "exclude": part.exclude,
  }


def imported(
  origin: str, step: int | None, format: str, files: Mapping[str, str]
) -> dict[str, Any]:
  """Returns the facts about a parent that another program wrote.

  Args:
    origin: its directory, or "user/name@commit".
    step: where its training stopped.
    format: what wrote it, for people.
    files: name -> sha256 of all that was read of it.
  """
  return {
    "path": origin,
    "step": step,
    "relation": IMPORT,
    "format": format,
    "files": dict(sorted(files.items())),
  }


def extend(lineage: Lineage, entries: Iterable[Mapping[str, Any]]) -> Lineage:
  """Returns the lineage with more entries, oldest first, none of them twice."""
  for found in entries:
    if found not in lineage:
      lineage = (*lineage, found)
  return lineage
