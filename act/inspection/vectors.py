"""Ranges of the vectors, and joints that hardly move.

Letters: D dimensions, F frames.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from act.inspection import report
from act.recordings import base, naming

STATES = ("state", "qpos")  # by the last part of their names
_BINS = 32
# LeRobot divides by std + 1e-8 (normalize_processor.py)
_EPSILON = 1e-8
_STILL = 0.02  # of the median deviation of the vector's other dimensions
_MIDDLE = 0.01  # of the range: where 98 % of the frames are
# bookkeeping, which is constant in sound data too
_NO_MOTION = (
  *("reward", "discount", "done", "success", "timestamp", "index"),
  *("is_first", "is_last", "is_terminal"),
)


def measure(recording: base.Recording) -> Iterator[report.Feature]:
  """Yields each vector with the ranges of its dimensions."""
  for name, vector in recording.vectors.items():
    values = vector.values
    named = names(vector)
    yield report.Feature(
      name,
      "vector",
      (values.shape[1],),
      tuple(_dimension(x, values[:, i]) for i, x in enumerate(named)),
    )


def names(vector: base.Vector) -> tuple[str, ...]:
  """Returns the dimensions' names, or their numbers where they have none."""
  width = vector.values.shape[1]
  if len(vector.names) == width:
    return tuple(vector.names)
  return tuple(map(str, range(width)))


def last(name: str) -> str:
  """Returns what a policy calls a vector, without what stands before it."""
  return naming.short(name).rpartition("/")[2]


def moves(name: str) -> bool:
  """Tells whether a vector is of something that moves."""
  return not any(word in name.lower() for word in _NO_MOTION)


def findings(recording: base.Recording) -> Iterator[report.Finding]:
  """Yields what is wrong with the values of single vectors."""
  for name, vector in recording.vectors.items():
    yield from _not_finite(recording, name, vector)
    if moves(name) and np.isfinite(vector.values).all():
      yield from _still(recording, name, vector)


def _dimension(name: str, column: Float[np.ndarray, " F"]) -> report.Dimension:
  finite = column[np.isfinite(column)].astype(np.float64)
  if not len(finite):
    return report.Dimension(name, *(float("nan"),) * 7)
  low, high = float(finite.min()), float(finite.max())
  q01, q50, q99 = np.quantile(finite, (0.01, 0.5, 0.99)).tolist()
  bins = np.zeros(_BINS, np.int64)
  if high > low:
    at = ((finite - low) / (high - low) * _BINS).astype(np.int64)
    bins = np.bincount(np.minimum(at, _BINS - 1), minlength=_BINS)
  return report.Dimension(
    name=name,
    min=low,
    max=high,
    mean=float(finite.mean()),
    std=float(finite.std()),
    q01=q01,
    q50=q50,
    q99=q99,
    histogram=tuple(bins.tolist()),
  )


def _not_finite(
  recording: base.Recording, name: str, vector: base.Vector
) -> Iterator[report.Finding]:
  bad = np.argwhere(~np.isfinite(vector.values))
  if not len(bad):
    return
  frame, dimension = bad[0].tolist()
  episode, position = locate(recording, frame)
  yield report.Finding(
    kind="not a number",
    severity="severe",
    said=f"{len(bad)} values are NaN or infinite; this is the first.",
    advice="One of them spoils all weights: leave the episode out.",
    feature=name,
    dimensions=(names(vector)[dimension],),
    episode=episode,
    frame=position,
  )


def locate(recording: base.Recording, frame: int) -> tuple[int, int]:
  """Returns the data's number of a frame's episode, and the place in it."""
  starts = recording.first_frames
  index = int(np.searchsorted(starts, frame, side="right")) - 1
  return int(recording.episodes[index]), int(frame - starts[index])


def _still(
  recording: base.Recording, name: str, vector: base.Vector
) -> Iterator[report.Finding]:
  values = vector.values.astype(np.float64)
  named = np.array(names(vector))
  std = values.std(axis=0)
  constant = np.ptp(values, axis=0) == 0
  if constant.any():
    yield _constant(name, named, constant)
  if constant.all():
    return
  unit = float(np.median(std[~constant]))
  near = ~constant & (std < _STILL * unit)
  if near.any():
    yield _near_constant(name, named[near], float(std[near].min()), unit)
  low, high = np.quantile(values, (0.01, 0.99), axis=0)
  rare = ~constant & ~near & (high - low < _MIDDLE * np.ptp(values, axis=0))
  if rare.any():
    far = np.abs(values - np.median(values, axis=0))[:, rare] / std[rare]
    frame = int(far.max(axis=1).argmax())
    yield _outliers(name, named[rare], locate(recording, frame))


def _constant(
  name: str, named: np.ndarray, constant: np.ndarray
) -> report.Finding:
  count = int(constant.sum())
  return report.Finding(
    kind="constant joint",
    severity="warning",
    said=f"{count} of {len(named)} dimensions "
    f"{'never changes' if count == 1 else 'never change'}. Divided by "
    f"LeRobot's std + {_EPSILON:g}, a robot that is 0.01 away would give the "
    "policy a million deviations.",
    advice="Leave the dimension out, or make sure that the robot holds it.",
    feature=name,
    dimensions=tuple(named[constant].tolist()),
  )


def _near_constant(
  name: str, named: np.ndarray, std: float, unit: float
) -> report.Finding:
  return report.Finding(
    kind="near-constant joint",
    severity="warning",
    said=f"The standard deviation is {std:.3g}, of the other dimensions about "
    f"{unit:.3g}; once divided by it, noise counts as much as their motion.",
    advice="Mend its sensor; or keep config.normalization.minimum_std (0.01 by "
    "default, nothing in LeRobot), which does not amplify it.",
    feature=name,
    dimensions=tuple(named.tolist()),
  )


def _outliers(
  name: str, named: np.ndarray, at: tuple[int, int]
) -> report.Finding:
  return report.Finding(
    kind="still but for outliers",
    severity="warning",
    said=f"98 % of the frames are within {_MIDDLE:.0%} of the range, which a "
    "few others stretch; this is the farthest.",
    advice="Look there: the deviation is that of a few frames, and the motion "
    "of all others nearly vanishes once divided by it.",
    feature=name,
    dimensions=tuple(named.tolist()),
    episode=at[0],
    frame=at[1],
  )
