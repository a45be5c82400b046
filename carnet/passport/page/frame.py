"""A page that needs nothing but a browser, around whatever it tells.

No script, no network, no other file; every text of a checkpoint or of data is
escaped where elements are built (`carnet.passport.page.markup`).
"""

import pathlib
from collections.abc import Sequence

import carnet
from carnet.passport.page import markup

Element = markup.Element
Part = tuple[str, str, Element]  # its name in links, its title, what it tells
_POLICY = (
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
  "base-uri 'none'; form-action 'none'"
)
_STYLE = pathlib.Path(__file__).with_name("style.css")


def build(
  title: str,
  header: Element,
  first: Sequence[Element],
  parts: Sequence[Part],
  program: str,
  styles: Sequence[str] = (),
) -> str:
  """Returns the page.

  Args:
    title: of the window.
    header: an element of that name.
    first: what comes before the links to the parts.
    parts: the sections.
    program: what made the page.
    styles: of CSS, beside that of all pages.
  """
  links = [
    markup.element("li", markup.element("a", title, href=f"#{name}"))
    for name, title, _ in parts
  ]
  body = markup.element(
    "body",
    header,
    markup.element(
      "main",
      *first,
      markup.element(
        "nav", markup.element("ul", *links), aria_label="On this page"
      ),
      *(markup.section(title, made, id_=name) for name, title, made in parts),
    ),
    markup.element("footer", f"{program}, carnet {carnet.__version__}"),
  )
  page = markup.element("html", _head(title, styles), body, lang="en")
  return f"<!DOCTYPE html>\n{page}\n"


def _head(title: str, styles: Sequence[str]) -> Element:
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
    markup.element("title", title),
    *(
      markup.element("style", markup.Element(style))
      for style in (_STYLE.read_text("utf-8"), *styles)
    ),
  )


def _meta(pairs: dict[str, str]) -> Element:
  listed = "".join(
    f' {key.replace("_", "-")}="{markup.escape(value)}"'
    for key, value in pairs.items()
  )
  return Element(f"<meta{listed}>")
