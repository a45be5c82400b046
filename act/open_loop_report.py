"""Shows an open-loop comparison: a table, and curves where matplotlib is."""

import importlib.util
import pathlib

import rich.console
import rich.table

from act import open_loop

_COLUMNS = 2
_HEIGHT, _WIDTH = 1.6, 11.0  # inches of a row, and of the page


def show(report: open_loop.Report) -> None:
  """Prints the table and what is wrong; draws the first episode."""
  console = rich.console.Console(soft_wrap=True)
  seen = "held out of the training" if report.held_out else "all there are"
  frames = sum(len(x.recorded) for x in report.episodes)
  console.print(
    f"{len(report.episodes)} episodes of {report.data}, {frames} frames, {seen}"
  )
  for x in report.skipped:
    console.print(f"left out episode {x.episode}: {x.reason}", markup=False)
  console.print(_table(report))
  for fault in open_loop.FAULTS:
    names = [x.name for x in report.dimensions if fault in x.faults]
    if names:
      console.print(f"{fault}: {', '.join(names)}")
  console.print(f"results: {report.results}")
  if importlib.util.find_spec("matplotlib") is not None:
    console.print(f"curves: {draw(report)}")


def _table(report: open_loop.Report) -> rich.table.Table:
  table = rich.table.Table(
    "action", "error", "if held still", "error / std", "spread"
  )
  for x in report.dimensions:
    relative = f"{x.error / x.deviation:.2f}" if x.deviation else "-"
    table.add_row(
      x.name, f"{x.error:.4g}", f"{x.holding:.4g}", relative, f"{x.spread:.2f}"
    )
  return table


def draw(report: open_loop.Report) -> pathlib.Path:
  """Writes a picture of the first episode beside the results."""
  import matplotlib

  matplotlib.use("agg")
  from matplotlib import pyplot

  episode, count = report.episodes[0], len(report.dimensions)
  rows = -(-count // _COLUMNS)
  figure, axes = pyplot.subplots(
    rows,
    _COLUMNS,
    figsize=(_WIDTH, _HEIGHT * rows + 0.8),
    sharex=True,
    squeeze=False,
    layout="constrained",
  )
  for i, axis in enumerate(axes.flat):
    if i >= count:
      axis.set_visible(False)
      continue
    axis.plot(episode.recorded[:, i], label="recorded", color="0.6", lw=2.5)
    axis.plot(episode.predicted[:, i], label="predicted", color="C0", lw=1.0)
    axis.set_title(report.dimensions[i].name, fontsize=9, loc="left")
    axis.tick_params(labelsize=7)
  for axis in axes[-1]:
    axis.set_xlabel("frame", fontsize=8)
  axes[0][0].legend(fontsize=7, loc="best")
  figure.suptitle(f"episode {episode.number} of {report.data}", fontsize=9)
  place = report.results.with_name("curves.png")
  figure.savefig(place, dpi=110)
  pyplot.close(figure)
  return place
