"""Small drawings of numbers: a line over frames, a range on a bar."""

from collections.abc import Sequence

from carnet.passport.page import markup

Element = markup.Element
_WIDTH, _HEIGHT, _MARGIN = 220, 64, 4
_BAR_WIDTH, _BAR_HEIGHT = 120, 12


def line(values: Sequence[float], name: str) -> Element:
  """Returns a figure with a line through the values, lowest to highest."""
  low, high = min(values), max(values)
  spread = high - low or 1.0
  across = (_WIDTH - 2 * _MARGIN) / max(len(values) - 1, 1)
  points = " ".join(
    f"{_MARGIN + index * across:.1f},"
    f"{_HEIGHT - _MARGIN - (x - low) / spread * (_HEIGHT - 2 * _MARGIN):.1f}"
    for index, x in enumerate(values)
  )
  told = f"{markup.number(low)} to {markup.number(high)}"
  drawing = markup.element(
    "svg",
    markup.element("polyline", points=points, class_="line"),
    viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
    role="img",
    aria_label=f"{name} over {len(values)} frames: {told}",
    class_="plot",
  )
  return markup.element(
    "figure",
    drawing,
    markup.element(
      "figcaption",
      markup.element("b", name),
      " ",
      markup.element("span", told, class_="muted"),
    ),
  )


def bar(
  low: float, high: float, inner: tuple[float, float] | None, mark: float | None
) -> Element:
  """Returns a bar from `low` to `high`, an inner range, and a mark on it."""

  def place(value: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return round(min(max(share, 0.0), 1.0) * _BAR_WIDTH, 1)

  middle = _BAR_HEIGHT / 2
  parts = [
    markup.element(
      "line", x1=0, x2=_BAR_WIDTH, y1=middle, y2=middle, class_="range"
    )
  ]
  if inner is not None:
    left, right = map(place, inner)
    parts.append(
      markup.element(
        "rect",
        x=left,
        y=3,
        width=max(right - left, 1),
        height=_BAR_HEIGHT - 6,
        class_="inner",
      )
    )
  if mark is not None:
    x = place(mark)
    parts.append(
      markup.element("line", x1=x, x2=x, y1=0, y2=_BAR_HEIGHT, class_="mark")
    )
  return markup.element(
    "svg",
    *parts,
    viewBox=f"-1 0 {_BAR_WIDTH + 2} {_BAR_HEIGHT}",
    width=_BAR_WIDTH,
    height=_BAR_HEIGHT,
    aria_hidden="true",
    class_="bar",
  )
