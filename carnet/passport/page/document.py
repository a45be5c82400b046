"""The page as a whole."""

import pathlib
from collections.abc import Callable

from carnet import errors
from carnet.passport import context, schema
from carnet.passport.formats import rows
from carnet.passport.page import (
  chain,
  custody,
  findings,
  frame,
  markup,
  numbers,
  pictures,
)

Element = markup.Element


def build(told: rows.Validation, found: context.Context) -> str:
  """Returns the page of a validation.

  Args:
    told: the validation.
    found: the same checkpoint; what its passport does not hold, or what is
      unsound, is told on the page and stops nothing.
  """
  return frame.build(
    f"{told.report.verdict}: {told.directory}",
    _header(told, found),
    [findings.verdict(told)],
    [("checks", "Checks", findings.checks(told)), *_parts(found)],
    "validate-checkpoint",
  )


def _header(told: rows.Validation, found: context.Context) -> Element:
  name = pathlib.PurePath(told.directory).name or told.directory
  try:
    family: str = found.passport.family
  except errors.UserError:
    family = "no valid passport"
  return markup.element(
    "header",
    markup.element("h1", f"Checkpoint {name}"),
    markup.element("p", f"{family}, ", markup.element("code", told.directory)),
  )


def _parts(found: context.Context) -> list[frame.Part]:
  """Returns the sections that are of the passport; none, if it is none."""
  try:
    passport = found.passport
  except errors.UserError:
    return []
  makers: list[tuple[str, str, Callable[[], Element]]] = [
    ("chain", "From sensor to action", lambda: chain.build(passport)),
    ("pictures", "What the model sees", lambda: pictures.build(found)),
    ("actions", "Golden actions", lambda: numbers.golden_actions(found)),
    ("statistics", "Statistics", lambda: numbers.statistics_tables(found)),
    ("behaviour", "Behaviour", lambda: _behaviour(passport)),
    ("model", "Model", lambda: custody.model(passport)),
    ("provenance", "Provenance", lambda: custody.provenance(found)),
    (
      "issues",
      "Known issues and open fields",
      lambda: custody.issues(passport),
    ),
    ("files", "Files", lambda: custody.files(passport)),
  ]
  return [(name, title, _guarded(make)) for name, title, make in makers]


def _behaviour(passport: schema.Passport) -> Element:
  return markup.join(numbers.smoke(passport), numbers.round_trips(passport))


def _guarded(make: Callable[[], Element]) -> Element:
  """Returns a section, or why there is none: the rest is still worth a look."""
  try:
    return make()
  except errors.UserError as error:
    return markup.element("p", f"Not to be shown: {error}")
