"""Returns of runs over those of a reference: reading, comparing, drawing."""

import csv
import json
import pathlib

import numpy as np

from carnet import errors

Curve = dict[int, float]  # frames at the end of a bin -> mean return


def read_run(workdir: pathlib.Path, bin_frames: int) -> Curve:
  """Returns the mean return of the episodes of each bin.

  Raises:
    UserError: there are no metrics, or no episode ended.
  """
  path = workdir / "metrics.jsonl"
  try:
    lines = path.read_text().splitlines()
  except OSError as error:
    raise errors.UserError(f"cannot read {path}: {error.strerror}") from error
  found: dict[int, list[float]] = {}
  for line in lines:
    row = json.loads(line)
    value = row.get("episode/return")
    if value is not None:
      end = -(-row["frames"] // bin_frames) * bin_frames
      found.setdefault(end, []).append(value)
  if not found:
    raise errors.UserError(f"{path}: no episode has ended yet")
  return {end: float(np.mean(found[end])) for end in sorted(found)}


def read_reference(path: pathlib.Path, suite: str, task: str) -> list[Curve]:
  """Returns a curve for each seed of a task.

  Raises:
    UserError: the table cannot be read, or has no such task.
  """
  seeds: dict[str, Curve] = {}
  tasks = set()
  try:
    with path.open(newline="") as file:
      for row in csv.DictReader(file):
        if row["suite"] == suite:
          tasks.add(row["task"])
          if row["task"] == task:
            curve = seeds.setdefault(row["seed"], {})
            curve[int(row["frames"])] = float(row["episode_return"])
  except OSError as error:
    raise errors.UserError(f"cannot read {path}: {error.strerror}") from error
  if not seeds:
    raise errors.unknown(f"task of {suite} in {path}:", task, sorted(tasks))
  return list(seeds.values())


def band(reference: list[Curve], frames: int) -> tuple[float, float, float]:
  """Returns lowest, mean and highest of the seeds at so many frames.

  Between two points of a seed its line is straight.
  """
  values = [
    float(np.interp(frames, list(curve), list(curve.values())))
    for curve in reference
  ]
  return min(values), float(np.mean(values)), max(values)


def table(runs: list[Curve], reference: list[Curve], last: int) -> list[str]:
  """Returns a line for each point of the runs, with the reference's band."""
  lines = []
  for end in sorted({end for run in runs for end in run if end <= last}):
    ours = " ".join(f"{run[end]:8.1f}" for run in runs if end in run)
    line = f"{end:>9} frames: {ours}"
    if reference:
      low, mean, high = band(reference, end)
      line += f"   reference {mean:.1f} ({low:.1f} to {high:.1f})"
    lines.append(line)
  return lines


def draw(
  runs: list[Curve],
  reference: list[Curve],
  last: int,
  title: str,
  path: pathlib.Path,
) -> None:
  """Draws the runs over the band and the seeds of the reference."""
  try:
    import matplotlib
  except ImportError as error:
    raise errors.UserError(
      "matplotlib is not installed: pip install 'carnet[plot]'"
    ) from error
  matplotlib.use("Agg")
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
  if reference:
    frames = np.linspace(min(min(c) for c in reference), last, 200)
    low, mean, high = zip(
      *(band(reference, int(x)) for x in frames), strict=True
    )
    axes.fill_between(
      frames, low, high, color="0.88", label="DreamerV3, lowest to highest seed"
    )
    axes.plot(frames, mean, color="0.45", lw=1.2, label="DreamerV3, mean")
  for index, run in enumerate(runs):
    points = {end: value for end, value in run.items() if end <= last}
    label = "carnet" if len(runs) == 1 else f"carnet, run {index + 1}"
    axes.plot(
      list(points), list(points.values()), marker="o", ms=3, lw=1.6, label=label
    )
  axes.set(xlabel="frames", ylabel="return of an episode", title=title)
  axes.set_xlim(0, last)
  axes.spines[["top", "right"]].set_visible(False)
  axes.legend(frameon=False, loc="best")
  path.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(path, dpi=150)
  pyplot.close(figure)
