"""The inspection as one page that needs nothing but a browser.

No script, no network, no other file; every text of the data is escaped where
elements are built (`carnet.passport.page.markup`), and nowhere else.
"""

import importlib.resources
from collections.abc import Sequence

from act.inspection import drawings, report, strips, tables
from carnet.passport.page import frame, markup

Element = markup.Element
_BADGES = {"severe": "fail", "warning": "soft", "note": "not_checked"}
_VERDICTS = {
  "severe": ("fail", "Mend this first"),
  "warning": ("soft", "A person should look here"),
  "note": ("pass", "Nothing stands against training"),
}


def build(found: report.Report, films: Sequence[strips.Strip]) -> str:
  """Returns the page."""
  parts = [
    ("findings", "Findings", _findings(found)),
    ("films", "Films", _films(films)),
    ("lengths", "Episodes", _lengths(found)),
    ("ranges", "Ranges", _ranges(found)),
  ]
  if found.differences:
    made = _differences(found)
    parts.append(("statistics", "Statistics that differ", made))
  style = importlib.resources.files(__package__).joinpath("page.css")
  return frame.build(
    f"Data {found.identity}",
    markup.element("header", markup.element("h1", f"Data {found.identity}")),
    [
      _verdict(found),
      markup.facts([(name, value) for name, value in tables.facts(found)]),
    ],
    parts,
    "scripts/dataset.py",
    [style.read_text("utf-8")],
  )


def _verdict(found: report.Report) -> Element:
  worst = found.findings[0].severity if found.findings else "note"
  kind, title = _VERDICTS[worst]
  counts = [
    markup.element("li", markup.element("b", found.count(x)), f" {x}")
    for x in report.SEVERITIES
  ]
  return markup.element(
    "section",
    markup.element("h2", title, id="verdict"),
    markup.element("ul", *counts, class_="counts"),
    class_=f"verdict {kind}",
    aria_labelledby="verdict",
  )


def _findings(found: report.Report) -> Element:
  if not found.findings:
    return markup.element("p", "There are none.")
  shown = found.findings[: markup.MOST_ROWS]
  more = len(found.findings) - len(shown)
  return markup.join(
    *map(_finding, shown),
    markup.element("p", f"And {more} more; see --json.") if more else None,
  )


def _finding(finding: report.Finding) -> Element:
  badge = f"badge {_BADGES[finding.severity]}"
  return markup.element(
    "article",
    markup.element(
      "h3",
      markup.element("span", finding.severity, class_=badge),
      " ",
      finding.kind,
      markup.element("span", f" {finding.where}", class_="muted"),
    ),
    markup.element("p", finding.said),
    markup.element("p", finding.advice, class_="advice"),
    class_="finding",
  )


def _films(films: Sequence[strips.Strip]) -> Element:
  if not films:
    return markup.element("p", "The data hold no pictures.")
  parts = []
  for camera in dict.fromkeys(strip.camera for strip in films):
    parts.append(markup.element("h3", f"Camera {camera}"))
    parts += [_strip(strip) for strip in films if strip.camera == camera]
  note = (
    "Frames at equal distances; those at which something was found are set "
  )
  return markup.join(
    markup.element("p", f"{note}off by a frame.", class_="muted"), *parts
  )


def _strip(strip: strips.Strip) -> Element:
  title = f"Episode {strip.episode}"
  if strip.fault:
    return markup.element("p", f"{title}: {strip.fault}", class_="muted")
  frames = [
    markup.element(
      "figure",
      markup.element(
        "img",
        src=Element(frame.address),  # base64: nothing to escape
        alt=f"Camera {strip.camera}, {title.lower()}, frame {frame.number}",
        width=frame.width,
        height=frame.height,
      ),
      markup.element("figcaption", frame.number),
      class_="marked" if frame.marked else None,
    )
    for frame in strip.frames
  ]
  film = markup.element("div", *frames, class_="film")
  return markup.join(
    markup.element("p", title, class_="film-title"),
    markup.scroll(film, f"Camera {strip.camera}, {title.lower()}"),
  )


def _lengths(found: report.Report) -> Element:
  rows: list[tuple[markup.Child, ...]] = [
    (episode.number, episode.frames, episode.task) for episode in found.episodes
  ]
  longest = max(episode.frames for episode in found.episodes)
  return markup.join(
    drawings.lengths(found.episodes),
    markup.element(
      "p",
      f"A bar for each episode; the highest stands for {longest} frames.",
      class_="muted",
    ),
    markup.element(
      "details",
      markup.element("summary", "The same as a table"),
      markup.table("Episodes", ("episode", "frames", "task"), rows, (1,)),
    ),
  )


def _ranges(found: report.Report) -> Element:
  vectors = [x for x in found.features if x.kind == "vector"]
  cameras = [x for x in found.features if x.kind == "camera"]
  rows: list[tuple[markup.Child, ...]] = [
    (x.name, markup.size(x.shape), _colours(x)) for x in cameras
  ]
  head = ("camera", "height, width, colours", "mean of red, green, blue")
  return markup.join(
    markup.element(
      "p",
      "How often a dimension was where, from its least to its largest value; "
      "upright lines are the mean and the middle 98 %.",
      class_="muted",
    ),
    *map(_vector, vectors),
    markup.table("Cameras", head, rows) if rows else None,
  )


def _colours(camera: report.Feature) -> str:
  return ", ".join(f"{x.mean:.2f}" for x in camera.dimensions) or "not read"


def _vector(feature: report.Feature) -> Element:
  rows: list[tuple[markup.Child, ...]] = [
    (
      x.name,
      drawings.histogram(x),
      *map(tables.number, (x.min, x.mean, x.max, x.std)),
    )
    for x in feature.dimensions
  ]
  head = ("dimension", "where it was", "min", "mean", "max", "std")
  return markup.table(feature.name, head, rows, (2, 3, 4, 5))


def _differences(found: report.Report) -> Element:
  worst = sorted(found.differences, key=lambda x: -x.deviations)
  rows: list[tuple[markup.Child, ...]] = [
    (
      x.feature,
      x.dimension,
      x.statistic,
      *map(tables.number, (x.stored, x.measured, x.deviations)),
    )
    for x in worst
  ]
  head = ("feature", "dimension", "statistic")
  numbers = ("stored", "in the data", "deviations apart")
  return markup.table("Stored and measured", (*head, *numbers), rows, (3, 4, 5))
