"""One JSON document, for programs."""

import json

from carnet.passport.formats import rows

VERSION = 1


def render(told: rows.Validation) -> str:
  """Returns the verdict, the counts and all checks; ASCII, so never obeyed."""
  checks = [
    {
      "group": row.group,
      "id": row.id,
      "severity": row.severity,
      "status": row.status.value,
      "evidence": row.evidence,
      "where": row.where,
      "expected": row.expected,
      "found": row.found,
      "remedy": row.remedy,
    }
    | ({"doc": row.doc} if told.verbose else {})
    for row in told.rows
  ]
  document = {
    "format_version": VERSION,
    "directory": told.directory,
    "verdict": told.report.verdict,
    "exit_code": int(told.exit_code),
    "strict": told.strict,
    "counts": told.counts,
    "summary": told.summary,
    "checks": checks,
  }
  return json.dumps(document, indent=2, allow_nan=False) + "\n"
