"""What `validate-checkpoint` ends with, whatever the format of its output."""

import enum

from carnet.passport import outcome

_SIGNOFF = "signoff"  # the section of the sign-off and of its signature


class ExitCode(enum.IntEnum):
  """The exit codes; 2 is for everything that kept validation from running."""

  PASS = 0
  FAIL = 1
  UNUSABLE = 2
  SIGNOFF = 3
  STRICT = 4


def of(report: outcome.Report, strict: bool = False) -> ExitCode:
  """Returns the exit code: `strict` leaves nothing soft and nothing unchecked.

  A failure of the sign-off alone has its own code: the checkpoint is sound,
  and nobody has vouched for it.
  """
  failed = {
    result.check.group
    for result in report.results
    if result.status is outcome.Status.FAIL
  }
  if failed:
    return ExitCode.SIGNOFF if failed == {_SIGNOFF} else ExitCode.FAIL
  open_ones = report.count(outcome.Status.SOFT) + report.count(
    outcome.Status.NOT_CHECKED
  )
  return ExitCode.STRICT if strict and open_ones else ExitCode.PASS
