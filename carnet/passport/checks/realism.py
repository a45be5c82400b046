"""Whether data looks recorded, and actions look like actions.

Axes: F frames, H, W, C of a picture, D dimensions.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from carnet.passport import contract, outcome
from carnet.passport.checks import parts

# Correlation of neighbouring pixels: noise has 0 +- 0.02, pictures of the
# simulators here 0.9 and more.
_LEAST_CORRELATION = 0.3
# Mean change between frames against their spread: another scene has 1.1.
_LARGEST_CHANGE = 0.8
# Von Neumann's ratio, mean square step over variance: noise has 2 (n - 1) / n,
# a straight way 0.1, a random walk of ten steps 0.6.
_LARGEST_RATIO = 1.4
LARGEST_TOLERANCE = 0.05  # of golden actions; measured differences are 5e-6


def neighbours(pixels: UInt8[np.ndarray, "F H W C"]) -> float:
  """Returns how pixels correlate with those beside and below; 0 if flat."""
  x = pixels.astype(np.float64)
  pairs = ((x[:, :, 1:], x[:, :, :-1]), (x[:, 1:], x[:, :-1]))
  return min(_correlation(one, other) for one, other in pairs)


def faults_of_pictures(
  pixels: UInt8[np.ndarray, "F H W C"],
) -> Iterator[str]:
  """Yields why frames look made up."""
  x = pixels.astype(np.float64)
  spread = float(x.std(axis=(1, 2, 3)).max())
  if spread < 1:
    yield "are flat"
    return
  if neighbours(pixels) < _LEAST_CORRELATION:
    found = neighbours(pixels)
    yield f"are noise: neighbouring pixels correlate by {found:.2f}"
  if len(x) < 2:
    return
  changes = np.abs(np.diff(x, axis=0)).mean(axis=(1, 2, 3))
  if not changes.any():
    yield "are all equal"
  elif np.median(changes) > _LARGEST_CHANGE * spread:
    yield f"are unlike each other: they change by {np.median(changes):.0f}"


def faults_of_vectors(states: Shaped[np.ndarray, "F D"]) -> Iterator[str]:
  """Yields why states look made up."""
  x = states.astype(np.float64)
  if len(x) < 2 or not np.all(np.isfinite(x)):
    return
  variance = x.var(axis=0)
  moving = variance > 0
  if not moving.any():
    yield "are all equal"
    return
  if len(x) < 5:  # too few to tell noise from motion
    return
  steps = np.square(np.diff(x, axis=0)).mean(axis=0)
  ratio = float(np.median(steps[moving] / variance[moving]))
  if ratio > _LARGEST_RATIO:
    yield f"jump like noise: steps of {ratio:.1f} times the variance"


def faults_of_actions(
  name: str,
  actions: Shaped[np.ndarray, "F D"],
  wanted: contract.Actions,
  bounds: tuple[Float[np.ndarray, " L"], Float[np.ndarray, " H"]],
  atol: float,
) -> Iterator[outcome.Finding]:
  """Yields where finite actions leave their bounds or classes."""
  x = actions.astype(np.float64)
  low, high = bounds
  if low.size == high.size == x.shape[1]:
    yield from _beyond(name, x, low - atol, high + atol)
  if wanted.kind == "discrete_index":
    known = (x == np.floor(x)) & (x >= 0) & (x < max(wanted.classes, 1))
    if not known.all():
      yield outcome.failed(
        f"{int((~known).sum())} actions are no index",
        name,
        f"0..{wanted.classes - 1}",
        float(x[~known][0]),
        parts.MEASURE,
      )
  if wanted.kind == "discrete_onehot":
    hot = np.isin(x, (0.0, 1.0)).all()
    groups = (
      x.reshape(len(x), -1, max(wanted.classes, 1))
      if (wanted.classes and x.shape[1] % wanted.classes == 0)
      else x.reshape(len(x), 1, -1)
    )
    if not hot or not np.all(groups.sum(axis=-1) == 1):
      yield outcome.failed(
        "actions are not one-hot", name, remedy=parts.MEASURE
      )


def _beyond(
  name: str,
  x: Float[np.ndarray, "F D"],
  low: Float[np.ndarray, " D"],
  high: Float[np.ndarray, " D"],
) -> Iterator[outcome.Finding]:
  wrong = (x < low) | (x > high)
  if wrong.any():
    frame, dim = (int(i) for i in np.argwhere(wrong)[0])
    yield outcome.failed(
      f"{int(wrong.sum())} actions beyond the bounds, first in frame {frame}, "
      f"dimension {dim}",
      name,
      f"{low[dim]:.4g}..{high[dim]:.4g}",
      f"{x[frame, dim]:.4g}",
      parts.MEASURE,
    )


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
  a, b = one - one.mean(), other - other.mean()
  scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
  return float((a * b).sum()) / scale if scale else 0.0
