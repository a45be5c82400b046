"""The verdict, and each check with its evidence: failing first."""

import itertools

from carnet.passport import exit_code, outcome
from carnet.passport.formats import rows
from carnet.passport.page import markup

Element = markup.Element
_STATUSES = (
  outcome.Status.FAIL,
  outcome.Status.SOFT,
  outcome.Status.NOT_CHECKED,
  outcome.Status.PASS,
)
_TROUBLE = _STATUSES[:2]
_VERDICTS = {
  "ship_it": ("pass", "Ship it", "Every check that ran passed."),
  "human_look_here": (
    "soft",
    "A person should look here",
    "Nothing failed; what is soft below is to be accepted or mended.",
  ),
  "do_not_ship": ("fail", "Do not ship it", ""),
}


def verdict(told: rows.Validation) -> Element:
  """Returns the banner at the top."""
  kind, title, said = _VERDICTS[told.report.verdict]
  failed = [row.name for row in told.rows if _rank(row) == 0]
  if failed:
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    said = f"Failed: {', '.join(failed[:3])}{more}."
  if told.exit_code is exit_code.ExitCode.SIGNOFF:
    said = f"It is sound, but its sign-off or signature is not. {said}"
  if told.exit_code is exit_code.ExitCode.STRICT:
    said += " --strict refuses what is soft or was not checked."
  counts = [
    markup.element(
      "li",
      markup.element("b", told.report.count(status)),
      f" {_word(status)}",
      class_=status.value,
    )
    for status in _STATUSES
  ]
  return markup.element(
    "section",
    markup.element("h2", title, id="verdict"),
    markup.element("p", said),
    markup.element("ul", *counts, class_="counts"),
    markup.element(
      "p",
      f"Verdict {told.report.verdict}, exit code {int(told.exit_code)}.",
      class_="muted",
    ),
    class_=f"verdict {kind}",
    aria_labelledby="verdict",
  )


def checks(told: rows.Validation) -> Element:
  """Returns the sections of the catalogue, the worst of them first."""
  groups = [
    (name, sorted(members, key=_rank))
    for name, members in itertools.groupby(told.rows, lambda row: row.group)
  ]
  groups.sort(key=lambda group: _rank(group[1][0]))
  return markup.join(*(_group(name, members) for name, members in groups))


def _rank(row: rows.Row) -> int:
  return _STATUSES.index(row.status)


def _group(name: str, members: list[rows.Row]) -> Element:
  counts = ", ".join(
    f"{count} {_word(status)}"
    for status in _STATUSES
    if (count := sum(row.status is status for row in members))
  )
  heading = markup.element("h3", name)
  worst = members[0].status
  return markup.element(
    "details",
    markup.element(
      "summary",
      markup.badge(worst.value),
      heading,
      markup.element("span", counts, class_="muted"),
    ),
    markup.element("div", *map(_check, members), class_="members"),
    class_="group",
    open="open" if worst in _TROUBLE else None,
  )


def _check(row: rows.Row) -> Element:
  facts: list[tuple[str, markup.Child]] = [("what it is", row.doc)]
  facts += [(name, value) for name, value in row.details()]
  facts.append(("severity", row.severity))
  return markup.element(
    "details",
    markup.element(
      "summary",
      markup.badge(row.status.value),
      " ",
      markup.element("b", row.id),
      " ",
      markup.element("span", row.evidence, class_="evidence"),
    ),
    markup.facts([(name, value) for name, value in facts if value]),
    class_="check",
    open="open" if row.status in _TROUBLE else None,
  )


def _word(status: outcome.Status) -> str:
  return status.value.replace("_", " ")
