"""SARIF 2.1.0 (OASIS), which code scanning pages read."""

import json
import pathlib
import urllib.parse
from typing import Any

import carnet
from carnet.passport import outcome
from carnet.passport.formats import rows

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_BASE = "CHECKPOINT"


def render(told: rows.Validation) -> str:
  """Returns a log of one run: a rule for each check, a result for each fault.

  Code scanning pages show every result as an alert, so that a pass is none.
  What was not checked is told as a notification of the run.
  """
  driver = {
    "name": "validate-checkpoint",
    "version": carnet.__version__,
    "rules": [_rule(row) for row in told.rows],
  }
  run = {
    "tool": {"driver": driver},
    "invocations": [_invocation(told)],
    "originalUriBaseIds": {_BASE: {"uri": _directory(told.directory)}},
    "results": [
      _result(index, row, told)
      for index, row in enumerate(told.rows)
      if _level(row, told)
    ],
    "columnKind": "unicodeCodePoints",
    "properties": {
      "verdict": told.report.verdict,
      "strict": told.strict,
      "counts": told.counts,
      "summary": told.summary,
    },
  }
  log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
  return json.dumps(log, indent=2, allow_nan=False) + "\n"


def _rule(row: rows.Row) -> dict[str, Any]:
  level = "error" if row.severity == "hard" else "warning"
  return {
    "id": row.id,
    "name": row.id,
    "shortDescription": {"text": row.name},
    "fullDescription": {"text": row.doc or row.name},
    "defaultConfiguration": {"level": level},
    "properties": {"group": row.group, "severity": row.severity},
  }


def _level(row: rows.Row, told: rows.Validation) -> str:
  """Returns the level of what is a fault, else nothing."""
  if row.status is outcome.Status.FAIL or (told.strict and row.is_open):
    return "error"
  return "warning" if row.status is outcome.Status.SOFT else ""


def _invocation(told: rows.Validation) -> dict[str, Any]:
  notes = [
    {
      "level": "note",
      "message": {"text": f"{row.name} was not checked: {row.evidence}"},
      "associatedRule": {"id": row.id, "index": index},
    }
    for index, row in enumerate(told.rows)
    if row.status is outcome.Status.NOT_CHECKED
  ]
  return {
    "executionSuccessful": True,
    "exitCode": int(told.exit_code),
    "exitCodeDescription": told.exit_code.name.lower(),
    "toolExecutionNotifications": notes,
  }


def _result(index: int, row: rows.Row, told: rows.Validation) -> dict[str, Any]:
  facts = [f"{name}: {value}" for name, value in row.details()]
  return {
    "ruleId": row.id,
    "ruleIndex": index,
    "level": _level(row, told),
    "message": {"text": "\n".join([row.evidence or row.name, *facts])},
    "locations": [_location(row, told)],
    "properties": {"status": row.status.value},
  }


def _location(row: rows.Row, told: rows.Validation) -> dict[str, Any]:
  file, line = told.file(row)
  place = {
    "artifactLocation": {
      "uri": urllib.parse.quote(file),
      "uriBaseId": _BASE,
    },
    "region": {"startLine": line},
  }
  if not row.where.startswith("/"):
    return {"physicalLocation": place}
  logical = {"fullyQualifiedName": row.where, "kind": "member"}
  return {"physicalLocation": place, "logicalLocations": [logical]}


def _directory(path: str) -> str:
  """Returns the URI of a directory; it ends with a slash (section 3.14.14)."""
  return f"{pathlib.Path(path).absolute().as_uri().rstrip('/')}/"
