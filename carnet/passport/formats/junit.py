"""JUnit XML, which the test pages of most CI systems read."""

import html
import itertools
from collections.abc import Iterable

from carnet.passport import outcome
from carnet.passport.formats import rows


def render(told: rows.Validation) -> str:
  """Returns a suite for each section and a case for each check.

  A case fails when it alone would make the program end with an error; a soft
  check that is allowed passes, with its evidence as output.
  """
  suites = [
    _suite(group, list(members), told)
    for group, members in itertools.groupby(told.rows, lambda row: row.group)
  ]
  head = _tag(
    "testsuites", {"name": "validate-checkpoint"} | _counts(told.rows, told)
  )
  properties = [
    ("directory", told.directory),
    ("verdict", told.report.verdict),
    ("exit_code", str(int(told.exit_code))),
    ("summary", told.summary),
  ]
  listed = "".join(
    _tag("property", {"name": name, "value": value}, empty=True)
    for name, value in properties
  )
  about = f'<testsuite name="verdict" tests="0"><properties>{listed}'
  about += "</properties></testsuite>"
  body = "\n".join([about, *suites])
  return (
    f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{body}\n</testsuites>\n'
  )


def _suite(name: str, members: list[rows.Row], told: rows.Validation) -> str:
  cases = "\n".join(_case(row, told) for row in members)
  head = _tag("testsuite", {"name": name} | _counts(members, told))
  return f"{head}\n{cases}\n</testsuite>"


def _case(row: rows.Row, told: rows.Validation) -> str:
  head = _tag("testcase", {"classname": row.group, "name": row.id})
  facts = "\n".join(f"{name}: {value}" for name, value in row.details())
  text = _text(f"{row.evidence}\n{facts}".strip())
  if _fails(row, told):
    kind = {"message": row.evidence, "type": row.status.value}
    inner = f"{_tag('failure', kind)}{text}</failure>"
  elif row.status is outcome.Status.NOT_CHECKED:
    inner = _tag("skipped", {"message": row.evidence}, empty=True)
  else:
    inner = f"<system-out>{text}</system-out>"
  return f"{head}{inner}</testcase>"


def _fails(row: rows.Row, told: rows.Validation) -> bool:
  return row.status is outcome.Status.FAIL or (told.strict and row.is_open)


def _counts(
  members: Iterable[rows.Row], told: rows.Validation
) -> dict[str, str]:
  listed = list(members)
  failures = sum(_fails(row, told) for row in listed)
  skipped = (
    0
    if told.strict
    else sum(row.status is outcome.Status.NOT_CHECKED for row in listed)
  )
  return {
    "tests": str(len(listed)),
    "failures": str(failures),
    "errors": "0",
    "skipped": str(skipped),
  }


def _tag(name: str, attributes: dict[str, str], empty: bool = False) -> str:
  quoted = "".join(
    f' {key}="{_text(value)}"' for key, value in attributes.items()
  )
  return f"<{name}{quoted}{'/' if empty else ''}>"


def _text(text: str) -> str:
  # not xml.sax.saxutils, which imports what opens connections
  return html.escape(_allowed(text))


def _allowed(text: str) -> str:
  """Spells what XML 1.0 cannot hold, even escaped: U+FFFE and U+FFFF."""
  # control characters and surrogates are spelled in every row already
  return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
