"""Lines for a terminal or a log."""

from carnet.passport import exit_code, outcome
from carnet.passport.formats import rows

_COLOURS = {
  outcome.Status.PASS: "32",
  outcome.Status.SOFT: "33",
  outcome.Status.FAIL: "1;31",
  outcome.Status.NOT_CHECKED: "2",
}
_VERDICTS = {
  "ship_it": outcome.Status.PASS,
  "human_look_here": outcome.Status.SOFT,
  "do_not_ship": outcome.Status.FAIL,
}


def render(told: rows.Validation) -> str:
  """Returns a line for each check, what is wrong in full, and the summary."""
  listed = [
    row
    for row in told.rows
    if row.status is not outcome.Status.NOT_CHECKED or told.show_not_checked
  ]
  width = max((len(row.name) for row in listed), default=0)
  lines = [told.directory]
  for row in listed:
    lines += _lines(row, width, told)
  lines.append(_paint(told.summary, _VERDICTS[told.report.verdict], told))
  lines += _reasons(told)
  return "\n".join(lines) + "\n"


def _lines(row: rows.Row, width: int, told: rows.Validation) -> list[str]:
  word = _paint(rows.WORDS[row.status], row.status, told)
  lines = [f"{word}  {row.name:<{width}}  {row.evidence}".rstrip()]
  if told.verbose and row.doc:
    lines.append(f"      {row.doc}")
  if row.status is not outcome.Status.PASS:
    lines += [f"      {name + ':':<9} {value}" for name, value in row.details()]
  return lines


def _reasons(told: rows.Validation) -> list[str]:
  """Says what the verdict alone does not."""
  reasons = []
  if told.counts["not_checked"] and not told.show_not_checked:
    reasons.append("--show-not-checked lists what was not checked, and why")
  if told.exit_code is exit_code.ExitCode.SIGNOFF:
    reasons.append("sound, but the sign-off or its signature is not")
  if told.exit_code is exit_code.ExitCode.STRICT:
    reasons.append("refused by --strict: nothing may be soft or not checked")
  return reasons


def _paint(text: str, status: outcome.Status, told: rows.Validation) -> str:
  return f"\033[{_COLOURS[status]}m{text}\033[0m" if told.colour else text
