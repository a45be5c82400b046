"""Workflow commands: GitHub shows them beside the files of a change."""

import pathlib

from carnet.passport import exit_code, outcome
from carnet.passport.formats import rows


def render(told: rows.Validation) -> str:
  """Returns an error, a warning or a notice for what is not a pass.

  What was not checked is one notice that names all, or with `strict` errors.
  """
  lines = []
  for row in told.rows:
    refused = told.strict and row.is_open
    if row.status is outcome.Status.FAIL or refused:
      lines.append(_about("error", row, told))
    elif row.status is outcome.Status.SOFT:
      lines.append(_about("warning", row, told))
  unchecked = told.report.named(outcome.Status.NOT_CHECKED)
  if unchecked and not told.strict:
    lines.append(_command("notice", {}, f"not checked: {', '.join(unchecked)}"))
  level, summary = "error" if told.exit_code else "notice", told.summary
  if told.exit_code is exit_code.ExitCode.STRICT:
    summary = f"refused by --strict: {summary}"
  lines.append(_command(level, {"title": "validate-checkpoint"}, summary))
  return "\n".join(lines) + "\n"


def _about(level: str, row: rows.Row, told: rows.Validation) -> str:
  file, line = told.file(row)
  place = (pathlib.PurePosixPath(told.directory) / file).as_posix()
  where = {"title": row.name, "file": place, "line": str(line)}
  facts = [f"{name}: {value}" for name, value in row.details()]
  return _command(level, where, "\n".join([row.evidence, *facts]))


def _command(level: str, properties: dict[str, str], message: str) -> str:
  listed = ",".join(
    f"{name}={_property(value)}" for name, value in properties.items()
  )
  return f"::{level}{' ' if listed else ''}{listed}::{_data(message)}"


def _data(text: str) -> str:
  """Escapes as GitHub's own toolkit does, which reads the codes back."""
  escaped = text.replace("%", "%25")
  return escaped.replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
  return _data(text).replace(":", "%3A").replace(",", "%2C")
