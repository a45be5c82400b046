"""What every format tells, in the same words: a row for each check."""

import dataclasses
import functools
import re

from carnet import terminal
from carnet.checkpoint import directory
from carnet.passport import exit_code, outcome
from carnet.passport.formats import pointer

WORDS = {
  outcome.Status.PASS: "PASS",
  outcome.Status.SOFT: "SOFT",
  outcome.Status.FAIL: "FAIL",
  outcome.Status.NOT_CHECKED: "----",
}
_LONGEST = 4000  # characters of a text in a report
# what a docstring states of a pass, up to the next of its outcomes
_PASS = re.compile(r"Pass: (.*?)\s*(?=(?:Soft|Fail|Not checked|None):|$)")
_ANY_REMEDY = "correct it where it comes from, then run generate-passport again"


@dataclasses.dataclass(frozen=True)
class Row:
  """A check and what it found; its texts are plain, whatever files held."""

  group: str
  id: str
  severity: str
  status: outcome.Status
  evidence: str
  where: str
  expected: str
  found: str
  remedy: str
  doc: str

  @property
  def name(self) -> str:
    """The check as people call it."""
    return f"{self.group}/{self.id}"

  @property
  def is_open(self) -> bool:
    """Tells whether `--strict` refuses it although it did not fail."""
    return self.status in (outcome.Status.SOFT, outcome.Status.NOT_CHECKED)

  def details(self) -> list[tuple[str, str]]:
    """Returns what a reader needs to mend it; of a failure, all four."""
    facts = [
      ("expected", self.expected),
      ("found", self.found),
      ("where", self.where),
      ("remedy", self.remedy),
    ]
    return [(name, value) for name, value in facts if value]


@dataclasses.dataclass(frozen=True)
class Validation:
  """A report, and how it is to be told.

  Attributes:
    report: what the checks found.
    strict: whether soft and unchecked ones are refused.
    show_not_checked: whether they are listed, and not only counted.
    verbose: whether each check's docstring is told.
    colour: whether a terminal shows it.
    passport: the bytes of the passport, to find lines in.
  """

  report: outcome.Report
  strict: bool = False
  show_not_checked: bool = False
  verbose: bool = False
  colour: bool = False
  passport: bytes = b""

  @functools.cached_property
  def exit_code(self) -> exit_code.ExitCode:
    """What the program ends with."""
    return exit_code.of(self.report, self.strict)

  @functools.cached_property
  def rows(self) -> tuple[Row, ...]:
    """The rows, those of a section together."""
    groups = {result.check.group: None for result in self.report.results}
    order = {group: index for index, group in enumerate(groups)}
    found = map(_row, self.report.results)
    return tuple(sorted(found, key=lambda row: order[row.group]))

  @property
  def counts(self) -> dict[str, int]:
    """How many ended how, by the values of `outcome.Status`."""
    return {
      status.value: self.report.count(status) for status in outcome.Status
    }

  @property
  def summary(self) -> str:
    """The last line of all formats that have lines."""
    counts = self.counts
    return (
      f"{counts['pass']} pass, {counts['soft']} soft, {counts['fail']} fail, "
      f"{counts['not_checked']} not checked -> {self.report.verdict}"
    )

  @property
  def directory(self) -> str:
    """The checkpoint, as text that a terminal shows."""
    return plain(self.report.directory)

  def file(self, row: Row) -> tuple[str, int]:
    """Returns the file and the line in it that a row is about."""
    if row.where and not row.where.startswith("/"):
      return row.where, 1
    line = pointer.line(self.passport, row.where) if row.where else 1
    return directory.PASSPORT, line


def plain(text: str) -> str:
  """Returns text of bounded length in which control characters are spelled."""
  if len(text) > _LONGEST:
    text = f"{text[:_LONGEST]}... ({len(text)} characters)"
  return terminal.printable(text)


def _row(result: outcome.Result) -> Row:
  """Spells every text, and fills what a failure leaves unsaid."""
  found = result.finding
  failed = result.status is outcome.Status.FAIL
  doc = " ".join(result.check.doc.split())
  states = _PASS.match(doc)
  return Row(
    group=result.check.group,
    id=result.check.id,
    severity=result.check.severity,
    status=result.status,
    evidence=plain(found.evidence),
    where=plain(found.where or directory.PASSPORT * failed),
    expected=plain(found.expected or (states[1] if states and failed else "")),
    found=plain(found.found or found.evidence * failed),
    remedy=plain(found.remedy or _ANY_REMEDY * failed),
    doc=doc,
  )
