"""What a check is, and what it may find."""

import dataclasses
import enum
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
  from carnet.passport import context


class Status(enum.StrEnum):
  """How a check ended; what could not be checked is never a pass."""

  PASS = "pass"
  SOFT = "soft"
  FAIL = "fail"
  NOT_CHECKED = "not_checked"


@dataclasses.dataclass(frozen=True)
class Finding:
  """What a check found, for people and for programs.

  Attributes:
    status: of a soft check, FAIL becomes SOFT.
    evidence: one line.
    where: JSON pointer into the passport, or a path in the checkpoint.
    expected: as declared.
    found: as it is.
    remedy: what to do, above all which command.
  """

  status: Status
  evidence: str
  where: str = ""
  expected: str = ""
  found: str = ""
  remedy: str = ""


def passed(evidence: str) -> Finding:
  """Returns that all is as declared."""
  return Finding(Status.PASS, evidence)


def failed(
  evidence: str,
  where: str = "",
  expected: object = "",
  found: object = "",
  remedy: str = "",
) -> Finding:
  """Returns that something is not as declared."""
  return Finding(
    Status.FAIL, evidence, where, str(expected), str(found), remedy
  )


def not_checked(why: str, remedy: str = "") -> Finding:
  """Returns that a need of the check is not met here."""
  return Finding(Status.NOT_CHECKED, why, remedy=remedy)


def first(faults: Iterable[Finding], evidence: str) -> Finding:
  """Returns a pass, or the first fault with how many more there are."""
  found = list(faults)
  if not found:
    return passed(evidence)
  if len(found) == 1:
    return found[0]
  more = f"{found[0].evidence} (and {len(found) - 1} more: " + "; ".join(
    x.evidence for x in found[1:6]
  )
  more += "; ..." * (len(found) > 6) + ")"
  return dataclasses.replace(found[0], evidence=more)


Severity = Literal["hard", "soft"]
# what a check asks of its surroundings besides the checkpoint
Need = Literal["model", "dataset", "repo", "key", "rerun"]


@dataclasses.dataclass(frozen=True)
class Check:
  """A named check; its docstring states pass, soft or fail, and not checked."""

  id: str
  group: str
  severity: Severity
  run: "Callable[[context.Context], Finding]"
  needs: tuple[Need, ...] = ()

  @property
  def doc(self) -> str:
    """What it states."""
    return (self.run.__doc__ or "").strip()


def group(
  name: str,
  hard: "Iterable[Callable[[context.Context], Finding]]" = (),
  soft: "Iterable[Callable[[context.Context], Finding]]" = (),
  needs: dict[str, tuple[Need, ...]] | None = None,
) -> tuple[Check, ...]:
  """Returns the checks of a section: functions, called by their own names."""
  wanted = needs or {}
  rows: list[Check] = []
  severities: tuple[tuple[Severity, Iterable], ...] = (
    ("hard", hard),
    ("soft", soft),
  )
  for severity, functions in severities:
    for run in functions:
      needed = wanted.get(run.__name__, ())
      rows.append(Check(run.__name__, name, severity, run, needed))
  return tuple(rows)


@dataclasses.dataclass(frozen=True)
class Result:
  """A check and what it found."""

  check: Check
  finding: Finding

  @property
  def status(self) -> Status:
    """The finding's, where a soft check cannot fail."""
    failed = self.finding.status is Status.FAIL
    if failed and self.check.severity == "soft":
      return Status.SOFT
    return self.finding.status


@dataclasses.dataclass(frozen=True)
class Report:
  """All results, in the order of the catalogue."""

  directory: str
  results: tuple[Result, ...]

  def count(self, status: Status) -> int:
    """Returns how many ended so."""
    return sum(result.status is status for result in self.results)

  def named(self, status: Status) -> tuple[str, ...]:
    """Returns the names of those that ended so."""
    return tuple(r.check.id for r in self.results if r.status is status)

  @property
  def verdict(self) -> Literal["ship_it", "human_look_here", "do_not_ship"]:
    """The worst of what was found."""
    if self.count(Status.FAIL):
      return "do_not_ship"
    return "human_look_here" if self.count(Status.SOFT) else "ship_it"
