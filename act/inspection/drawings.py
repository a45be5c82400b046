"""Small drawings of a page: where a joint has been, how long episodes are."""

from collections.abc import Sequence

from act.inspection import report
from carnet.passport.page import markup

Element = markup.Element
_WIDTH, _HEIGHT = 160, 36
_LENGTHS_WIDTH, _LENGTHS_HEIGHT = 720, 120
_MOST_BARS = 360


def histogram(dimension: report.Dimension) -> Element:
  """Returns how often a joint was where, from its least to its largest."""
  most = max(dimension.histogram, default=0)
  if not most:
    return markup.element("span", "never changes", class_="muted")
  across = _WIDTH / len(dimension.histogram)
  path = "".join(
    f"M{index * across:.1f} {_HEIGHT}v{-count / most * (_HEIGHT - 2):.1f}"
    f"h{across:.1f}V{_HEIGHT}z"
    for index, count in enumerate(dimension.histogram)
    if count
  )
  return markup.element(
    "svg",
    markup.element("path", d=path, class_="counts"),
    *(
      _upright(dimension, value, kind)
      for value, kind in (
        (dimension.q01, "edge-mark"),
        (dimension.q99, "edge-mark"),
        (dimension.mean, "mean-mark"),
      )
    ),
    viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
    preserveAspectRatio="none",
    role="img",
    aria_label=f"{dimension.name}: {dimension.min:.3g} to {dimension.max:.3g}, "
    f"mean {dimension.mean:.3g}",
    class_="histogram",
  )


def lengths(episodes: Sequence[report.Episode]) -> Element:
  """Returns a bar for each episode, or for each few where they are many."""
  group = -(-len(episodes) // _MOST_BARS)
  groups = [
    episodes[start : start + group] for start in range(0, len(episodes), group)
  ]
  longest = max(episode.frames for episode in episodes)
  across = _LENGTHS_WIDTH / len(groups)
  bars = []
  for index, members in enumerate(groups):
    tallest = max(members, key=lambda episode: episode.frames)
    height = tallest.frames / longest * (_LENGTHS_HEIGHT - 2)
    bars.append(
      markup.element(
        "g",
        markup.element("title", _told(members)),
        markup.element(
          "rect",
          x=f"{index * across:.2f}",
          y=f"{_LENGTHS_HEIGHT - height:.1f}",
          width=f"{max(across - min(1.0, across / 4), 0.5):.2f}",
          height=f"{height:.1f}",
          class_="bar-length",
        ),
      )
    )
  return markup.element(
    "svg",
    *bars,
    viewBox=f"0 0 {_LENGTHS_WIDTH} {_LENGTHS_HEIGHT}",
    preserveAspectRatio="none",
    role="img",
    aria_label=f"{len(episodes)} episodes, the longest of {longest} frames",
    class_="lengths",
  )


def _upright(dimension: report.Dimension, value: float, kind: str) -> Element:
  span = dimension.max - dimension.min
  x = (value - dimension.min) / span * _WIDTH if span else 0.0
  return markup.element(
    "line",
    x1=f"{x:.1f}",
    x2=f"{x:.1f}",
    y1=0,
    y2=_HEIGHT,
    class_=kind,
  )


def _told(members: Sequence[report.Episode]) -> str:
  first, last = members[0], members[-1]
  if len(members) == 1:
    return f"episode {first.number}: {first.frames} frames"
  most = max(episode.frames for episode in members)
  return f"episodes {first.number} to {last.number}: up to {most} frames"
