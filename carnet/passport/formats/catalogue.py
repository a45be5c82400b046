"""The catalogue of checks, for `--list-checks`."""

import json

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
