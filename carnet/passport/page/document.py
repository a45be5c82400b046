"""The page as a whole."""

import pathlib
from collections.abc import Callable

import carnet
from carnet import errors
from carnet.passport import context, schema
from carnet.passport.formats import rows
from carnet.passport.page import (
  chain,
  custody,
  findings,
  markup,
  numbers,
  pictures,
)

Element = markup.Element
_POLICY = (
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
  "base-uri 'none'; form-action 'none'"
)
_STYLE = pathlib.Path(__file__).with_name("style.css")


def build(told: rows.Validation, found: context.Context) -> str:
  """Returns the page of a validation.

  Args:
    told: the validation.
    found: the same checkpoint; what its passport does not hold, or what is
      unsound, is told on the page and stops nothing.
  """
  parts = [("checks", "Checks", findings.checks(told)), *_parts(found)]
  links = [
    markup.element("li", markup.element("a", title, href=f"#{name}"))
    for name, title, _ in parts
  ]
  body = markup.element(
    "body",
    _header(told, found),
    markup.element(
      "main",
      findings.verdict(told),
      markup.element(
        "nav", markup.element("ul", *links), aria_label="On this page"
      ),
      *(markup.section(title, made, id_=name) for name, title, made in parts),
    ),
    markup.element(
      "footer", f"validate-checkpoint, carnet {carnet.__version__}"
    ),
  )
  page = markup.element("html", _head(told), body, lang="en")
  return f"<!DOCTYPE html>\n{page}\n"


def _head(told: rows.Validation) -> Element:
  meta = [
    {"charset": "utf-8"},
    {"http_equiv": "Content-Security-Policy", "content": _POLICY},
    {"name": "viewport", "content": "width=device-width, initial-scale=1"},
    {"name": "color-scheme", "content": "light dark"},
    {"name": "referrer", "content": "no-referrer"},
  ]
  return markup.element(
    "head",
    *(markup.Element(_meta(pairs)) for pairs in meta),
    markup.element("title", f"{told.report.verdict}: {told.directory}"),
    markup.element("style", markup.Element(_STYLE.read_text("utf-8"))),
  )


def _meta(pairs: dict[str, str]) -> Element:
  listed = "".join(
    f' {key.replace("_", "-")}="{markup.escape(value)}"'
    for key, value in pairs.items()
  )
  return Element(f"<meta{listed}>")


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


def _parts(found: context.Context) -> list[tuple[str, str, Element]]:
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
