"""Reports made up for the formats: every status, and texts that bite."""

from carnet.passport import outcome

NASTY = (
  "a\nb\r::error::x %0A, <script>alert(1)</script> ]]> \x1b[31m \x00 \u202e"
  " \ud800 \ufffe & \" ' "
)
FINDINGS = {
  "pass": outcome.passed("41 files"),
  "fail": outcome.failed(
    "two differ", "/provenance/config_sha256", "abc", "def", "generate-passport"
  ),
  "bare": outcome.failed("nothing more to say"),
  "open": outcome.not_checked("no dataset here", "--dataset-path"),
  "nasty": outcome.failed(NASTY, NASTY, NASTY, NASTY, NASTY),
}
_DOC = "Pass: all as declared. Fail: else."


def report(*rows):
  """Returns a report of rows such as "files hard pass"."""
  results = []
  for index, row in enumerate(rows):
    group, severity, kind = row.split()
    check = outcome.Check(f"{kind}_{index}", group, severity, _run)
    results.append(outcome.Result(check, FINDINGS[kind]))
  return outcome.Report("runs/a/checkpoints/000000030", tuple(results))


def _run(found):
  """Pass: all as declared. Fail: else."""


# name -> rows, exit code, exit code with --strict
STATES = {
  "pass": (["files hard pass", "env soft pass"], 0, 0),
  "soft": (["files hard pass", "env soft fail"], 0, 4),
  "unchecked": (["files hard pass", "data hard open"], 0, 4),
  "fail": (["files hard fail", "env soft bare", "signoff hard fail"], 1, 1),
  "bare": (["files hard bare", "files hard pass"], 1, 1),
  "signoff": (["files hard pass", "env soft fail", "signoff hard bare"], 3, 3),
  "nasty": (["files hard nasty", "env soft nasty", "files hard open"], 1, 1),
}
