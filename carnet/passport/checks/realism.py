"""Whether data looks recorded.

Axes: F frames, H, W, C of a picture, D dimensions.
"""

from collections.abc import Iterator

import numpy as np

# Correlation of neighbouring pixels: noise has 0 +- 0.02, pictures of the
# simulators here 0.9 and more.
_LEAST_CORRELATION = 0.3
# Noise has all values. A game of a few dots has few, and no smooth surfaces.
_DRAWN = 4
# Mean change between frames against their spread: another scene has 1.1.
_LARGEST_CHANGE = 0.8
# Von Neumann's ratio, mean square step over variance: noise has 2 (n - 1) / n,
# a straight way 0.1, a random walk of ten steps 0.6.
_LARGEST_RATIO = 1.4


def neighbours(pixels: np.ndarray) -> float:
  """Returns how pixels, [F, H, W, C], correlate with those beside and below.

  It is 0 where they are flat.
  """
  x = _middle(pixels).astype(np.float32)
  pairs = ((x[:, :, 1:], x[:, :, :-1]), (x[:, 1:], x[:, :-1]))
  return min(_correlation(one, other) for one, other in pairs)


def faults_of_pictures(pixels: np.ndarray) -> Iterator[str]:
  """Yields why frames, [F, H, W, C], look made up."""
  x = _middle(pixels).astype(np.int16)
  spread = float(x.std(axis=(1, 2)).max())
  if spread < 1:
    yield "are flat"
    return
  found = neighbours(pixels)
  if found < _LEAST_CORRELATION and len(np.unique(x)) > _DRAWN:
    yield f"are noise: neighbouring pixels correlate by {found:.2f}"
  if len(x) < 2:
    return
  changes = np.abs(np.diff(x, axis=0)).mean(axis=(1, 2))
  if not changes.any():
    yield "are all equal"
  elif np.median(changes) > _LARGEST_CHANGE * spread:
    yield f"are unlike each other: they change by {np.median(changes):.0f}"


def _middle(pixels: np.ndarray) -> np.ndarray:
  """Returns one channel, green of three, which is enough and a third."""
  return pixels[..., pixels.shape[-1] // 2]


def faults_of_vectors(states: np.ndarray) -> Iterator[str]:
  """Yields why states, [F, D], look made up."""
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


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
  a, b = one - one.mean(), other - other.mean()
  scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
  return float((a * b).sum()) / scale if scale else 0.0
