"""The inspection as text for a terminal of 80 columns."""

from collections.abc import Iterator

import rich.console
import rich.padding
import rich.table
import rich.text

from act.inspection import report
from carnet import terminal

_STYLES = {"severe": "bold red", "warning": "yellow", "note": "cyan"}
_MOST_DIMENSIONS, _MOST_DIFFERENCES, _MOST_TASKS = 64, 10, 5


def show(found: report.Report, console: rich.console.Console) -> None:
  """Prints everything, and the findings last, where they are seen."""
  console.print(_facts(found))
  console.print(_features(found))
  for feature in found.features:
    if feature.kind == "vector":
      console.print(_ranges(feature))
  if found.differences:
    console.print(_differences(found))
  for line in _findings(found):
    console.print(line)


def duration(seconds: int | float | None) -> str:
  """Returns hours, minutes and seconds as people write them."""
  if seconds is None:
    return "unknown"
  if seconds < 60:
    return f"{seconds:.1f} s"
  minutes, rest = divmod(round(seconds), 60)
  if minutes < 60:
    return f"{minutes} min {rest} s"
  return f"{minutes // 60} h {minutes % 60} min"


def facts(found: report.Report) -> Iterator[tuple[str, str]]:
  """Yields what the data are, as names and values."""
  lengths = sorted(episode.frames for episode in found.episodes)
  yield "data", found.origin
  yield "name", found.identity
  yield "format", found.format
  yield "revision", found.revision or "unknown"
  yield (
    "episodes",
    f"{len(lengths)} of {lengths[0]} to {lengths[-1]} frames, "
    f"half of them up to {lengths[(len(lengths) - 1) // 2]}",
  )
  yield "frames", f"{found.frames:,}"
  yield "rate", f"{found.fps:g} a second" if found.fps else "unknown"
  yield "duration", duration(found.seconds)
  yield "tasks", _tasks(found)
  yield "statistics", _statistics(found)
  how = "all" if found.full else "samples; --full looks at all"
  yield "pictures", f"{found.pictures_read:,} frames of each camera ({how})"


def number(value: float) -> str:
  """Returns three digits; "" where there is no number."""
  return f"{value:.3g}" if value == value else ""


def _tasks(found: report.Report) -> str:
  rows = sorted(found.tasks.items(), key=lambda x: -x[1])
  shown = [f"{name or 'no text'} ({n})" for name, n in rows[:_MOST_TASKS]]
  more = len(rows) - _MOST_TASKS
  return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def _statistics(found: report.Report) -> str:
  if found.statistics == "none stored":
    return found.statistics
  if not found.differences:
    return "stored, and those of the data"
  return f"stored; {len(found.differences)} numbers are not those of the data"


def _facts(found: report.Report) -> rich.table.Table:
  table = rich.table.Table.grid(padding=(0, 2))
  table.add_column(style="dim", no_wrap=True)
  table.add_column(overflow="fold")
  for name, value in facts(found):
    table.add_row(name, _text(value))
  return table


def _features(found: report.Report) -> rich.table.Table:
  table = _table("Features", ("feature", "kind", "shape"))
  for feature in found.features:
    shape = " x ".join(map(str, feature.shape))
    table.add_row(_text(feature.name), feature.kind, shape)
  return table


def _ranges(feature: report.Feature) -> rich.table.Table:
  head = ("min", "1 %", "mean", "99 %", "max", "std")
  table = _table(feature.name, ("dimension",), head)
  shown = feature.dimensions[:_MOST_DIMENSIONS]
  for x in shown:
    values = (x.min, x.q01, x.mean, x.q99, x.max, x.std)
    table.add_row(_text(x.name), *map(number, values))
  if more := len(feature.dimensions) - len(shown):
    table.add_row(f"and {more} more")
  return table


def _differences(found: report.Report) -> rich.table.Table:
  head = ("stored", "in the data", "deviations")
  table = _table(
    "Statistics that differ", ("feature", "dimension", "statistic"), head
  )
  worst = sorted(found.differences, key=lambda x: -x.deviations)
  for x in worst[:_MOST_DIFFERENCES]:
    table.add_row(
      _text(x.feature),
      _text(x.dimension),
      x.statistic,
      number(x.stored),
      number(x.measured),
      number(x.deviations),
    )
  if (more := len(worst) - _MOST_DIFFERENCES) > 0:
    table.add_row(f"and {more} more (--json)")
  return table


def _findings(found: report.Report) -> Iterator[rich.console.RenderableType]:
  counts = ", ".join(f"{found.count(x)} {x}" for x in report.SEVERITIES)
  yield rich.text.Text(f"Findings: {counts}", style="bold")
  for finding in found.findings:
    head = rich.text.Text()
    head.append(f"{finding.severity:<8}", style=_STYLES[finding.severity])
    head.append(finding.kind, style="bold")
    if finding.where:
      head.append(f": {terminal.printable(finding.where)}")
    yield head
    for said in (finding.said, finding.advice):
      yield rich.padding.Padding(_text(said), (0, 0, 0, 8))


def _table(
  title: str, words: tuple[str, ...], numbers: tuple[str, ...] = ()
) -> rich.table.Table:
  table = rich.table.Table(
    title=_text(title), title_justify="left", title_style="bold", box=None
  )
  for name in words:
    table.add_column(name, overflow="fold", header_style="dim")
  for name in numbers:
    table.add_column(name, justify="right", no_wrap=True, header_style="dim")
  return table


def _text(value: str) -> rich.text.Text:
  return rich.text.Text(terminal.printable(value))
