"""Elements of HTML and SVG; what is no element is text, and escaped."""

import html
from collections.abc import Iterable

from carnet.passport.formats import rows

Value = str | int | float


class Element(str):
  """Markup that was built here; only this goes into a page as it is."""

  __slots__ = ()


Child = Element | Value | None
MOST_ROWS = 300  # of a table that anybody would read
_VOID = ("meta", "img", "path", "line", "rect", "polyline", "circle", "col")


def element(name: str, *children: Child, **attributes: Child) -> Element:
  """Returns an element.

  Args:
    name: of the element.
    children: elements, or values that become text; None is left out.
    attributes: by name, where `_` stands for `-` and a last one is dropped
      (`class_`, `for_`); None is left out.
  """
  listed = "".join(
    f' {key.rstrip("_").replace("_", "-")}="{join(value)}"'
    for key, value in attributes.items()
    if value is not None
  )
  if name in _VOID:
    return Element(f"<{name}{listed}/>")
  return Element(f"<{name}{listed}>{join(*children)}</{name}>")


def join(*children: Child) -> Element:
  """Returns the children one after the other."""
  return Element(
    "".join(
      child if isinstance(child, Element) else escape(child)
      for child in children
      if child is not None
    )
  )


def escape(value: Value) -> str:
  """Returns text that no browser takes for markup, nor obeys in its order."""
  if isinstance(value, float):
    value = number(value)
  return html.escape(rows.plain(str(value)))


def number(value: float) -> str:
  """Returns a number as people write it, five digits of it."""
  return f"{value:.5g}".replace("-", "\N{MINUS SIGN}")


def size(lengths: Iterable[int]) -> str:
  """Returns lengths of axes as people write them."""
  return " \N{MULTIPLICATION SIGN} ".join(map(str, lengths))


def table(
  caption: str,
  head: tuple[str, ...],
  body: list[tuple[Child, ...]],
  numeric: tuple[int, ...] = (),
) -> Element:
  """Returns a table in a box that scrolls by itself.

  The first cell of a row is its header; `numeric` columns align at the right.
  """
  if len(body) > MOST_ROWS:
    caption = f"{caption}, the first {MOST_ROWS} of {len(body)}"
    body = body[:MOST_ROWS]

  def cell(index: int, child: Child) -> Element:
    kind = "n" if index in numeric else None
    if index == 0:
      return element("th", child, scope="row", class_=kind)
    return element("td", child, class_=kind)

  header = element(
    "tr",
    *(
      element("th", name, scope="col", class_="n" if i in numeric else None)
      for i, name in enumerate(head)
    ),
  )
  lines = (
    element("tr", *(cell(index, child) for index, child in enumerate(row)))
    for row in body
  )
  made = element(
    "table",
    element("caption", caption),
    element("thead", header),
    element("tbody", *lines),
  )
  return scroll(made, caption)


def scroll(child: Child, label: str) -> Element:
  """Returns a box that scrolls sideways, also by the keyboard."""
  return element(
    "div",
    child,
    class_="scroll",
    role="group",
    aria_label=label,
    tabindex=0,
  )


def badge(status: str) -> Element:
  """Returns how something ended, in its colour and in words."""
  words = {"not_checked": "not checked"}
  return element("span", words.get(status, status), class_=f"badge {status}")


def facts(pairs: list[tuple[str, Child]]) -> Element:
  """Returns a list of terms and what they are."""
  return element(
    "dl",
    *(
      element("div", element("dt", name), element("dd", value))
      for name, value in pairs
    ),
  )


def section(title: str, *children: Child, id_: str) -> Element:
  """Returns a part of the page under a heading of the second level."""
  return element(
    "section",
    element("h2", title, id=id_),
    *children,
    aria_labelledby=id_,
  )
