"""The catalogue of checks, for `--list-checks`."""

import json
import pathlib
import sys

from carnet.passport import validate


def render(as_json: bool, verbose: bool) -> str:
  """Returns all checks with severities and needs; `verbose` with docstrings."""
  if as_json:
    return _json()
  checks = validate.catalogue()
  width = max(len(f"{x.group}/{x.id}") for x in checks)
  lines = []
  for check in checks:
    needs = f"needs {', '.join(check.needs)}" if check.needs else ""
    name = f"{check.group}/{check.id}"
    lines.append(f"{check.severity}  {name:<{width}}  {needs}".rstrip())
    if verbose:
      lines.append(f"      {' '.join(check.doc.split())}")
  lines.append(f"{len(checks)} checks")
  return "\n".join(lines) + "\n"


def markdown() -> str:
  """Returns the page of documentation: a table a section."""
  checks = validate.catalogue()
  lines = [
    "# What validate-checkpoint checks",
    "",
    f"{len(checks)} checks, as their docstrings state them. What needs more "
    "than is there is not",
    "checked, and never passed; a soft check cannot fail. Written by",
    "`python -m carnet.passport.formats.catalogue docs`.",
  ]
  group = ""
  for check in checks:
    if check.group != group:
      group = check.group
      lines += ["", f"## {group}", "", "| check | | states |", "|---|---|---|"]
    needs = f"; needs {', '.join(check.needs)}" if check.needs else ""
    states = " ".join(check.doc.split()).replace("|", "\\|")
    lines.append(f"| `{check.id}` | {check.severity}{needs} | {states} |")
  return "\n".join(lines) + "\n"


def _json() -> str:
  checks = [
    {
      "group": check.group,
      "id": check.id,
      "severity": check.severity,
      "needs": list(check.needs),
      "doc": " ".join(check.doc.split()),
    }
    for check in validate.catalogue()
  ]
  return json.dumps({"format_version": 1, "checks": checks}, indent=2) + "\n"


if __name__ == "__main__":
  (pathlib.Path(sys.argv[1]) / "checks.md").write_text(markdown())
