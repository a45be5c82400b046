"""What a restore did, as data and as a table."""

import collections
import dataclasses
import pathlib
import posixpath
from collections.abc import Mapping
from typing import Any

import rich.console
import rich.markup
import rich.table

from carnet.checkpoint import faults, plan

_LISTED_ROWS = 20  # of each fault; the error lists all of them


@dataclasses.dataclass(frozen=True)
class Report:
  """The rows of a plan for the checkpoint at `path`.

  `bytes_of` gives the stored size of each source path. `dry_run` tells that
  nothing was restored. `step` is None where the source does not say it.
  """

  path: pathlib.Path
  step: int | None
  rows: tuple[plan.Row, ...]
  bytes_of: Mapping[str, int]
  dry_run: bool = False
  advice: str = ""

  def check(self, strict: bool = True) -> None:
    """Refuses a plan that is not what was asked for.

    Args:
      strict: leaves may be neither missing, unexpected nor changed; otherwise
        it suffices that one of them is restored.

    Raises:
      MismatchError: it names every leaf at fault.
    """
    if strict:
      plan.check(self.rows, self.advice)
    elif self.rows and not self.paths(plan.RESTORED):
      raise faults.MismatchError(f"{self.path} has nothing that fits here")

  def paths(self, status: str) -> list[str]:
    """Returns the paths with one of the statuses of `plan`."""
    return [row.path for row in self.rows if row.status == status]

  def counts(self) -> dict[str, int]:
    """Returns how many leaves have each status."""
    return dict(collections.Counter(row.status for row in self.rows))

  def size_bytes(self, status: str) -> int:
    """Returns the stored bytes of the leaves with this status."""
    rows = [row for row in self.rows if row.status == status]
    return sum(self.bytes_of.get(row.source or "", 0) for row in rows)

  def to_json(self) -> dict[str, Any]:
    """Returns the report as JSON: totals, and a row for each leaf."""
    totals = {
      status: {"leaves": count, "size_bytes": self.size_bytes(status)}
      for status, count in self.counts().items()
    }
    rows = [
      {
        "path": row.path,
        "status": row.status,
        "source": row.source,
        "stored": str(row.stored) if row.stored else None,
        "target": str(row.target) if row.target else None,
      }
      for row in self.rows
    ]
    facts = {"path": str(self.path), "step": self.step}
    return facts | {"dry_run": self.dry_run, "totals": totals, "leaves": rows}

  def table(self) -> rich.table.Table:
    """Returns the counts and bytes, each fault with its paths."""
    verb = "To be restored" if self.dry_run else "Restored"
    title = rich.markup.escape(f"{verb} from {self.path}")
    table = rich.table.Table(title=title, title_justify="left")
    table.add_column("leaves", justify="right")
    table.add_column("status")
    table.add_column("bytes", justify="right")
    table.add_column("where", overflow="fold")
    for status, count in self.counts().items():
      size = f"{self.size_bytes(status):,}"
      table.add_row(str(count), status, size, self._where(status))
    return table

  def print(self) -> None:
    """Prints the table to standard error."""
    rich.console.Console(stderr=True).print(self.table())

  def _where(self, status: str) -> str:
    rows = [row for row in self.rows if row.status == status]
    if status in plan.FAULTS:
      lines = [plan.describe(row) for row in rows[:_LISTED_ROWS]]
      more = len(rows) - len(lines)
      lines += [f"and {more} more"] if more else []
    else:
      lines = _branches([row.path for row in rows])
    return rich.markup.escape("\n".join(lines))


def _branches(paths: list[str]) -> list[str]:
  """Returns for each component the path that its leaves share, and a count."""
  groups = collections.defaultdict(list)
  for path in paths:
    groups[path.split("/")[0]].append(path)
  return [
    f"{posixpath.commonpath(group)} ({len(group)})" for group in groups.values()
  ]
