"""Pictures made so small that they can be compared, and whether they change.

Letters: B frames looked at together, D dimensions, F frames, H, W image, h, w
blocks of it.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from act.inspection import vectors
from act.recordings import base, naming

_BLOCKS = 24  # along the longer side, at most
SAME = 2.0  # levels of 256 that the mean of a block may change
_MOVED = 0.05  # of a dimension's range
_POSES = (*vectors.STATES, naming.ACTION)


def spread(count: int, most: int) -> list[int]:
  """Returns at most so many of `count` places, at equal distances."""
  places = np.linspace(0, count - 1, min(count, most)).round()
  return np.unique(places).astype(np.int64).tolist()


def shrink(
  pictures: UInt8[np.ndarray, "B H W 3"],
) -> Float[np.ndarray, "B h w 3"]:
  """Returns the means of square blocks, in which a moving arm still shows."""
  count, height, width, _ = pictures.shape
  side = max(1, max(height, width) // _BLOCKS)
  rows, columns = max(height // side, 1), max(width // side, 1)
  whole = pictures[:, : rows * side, : columns * side]
  blocks = whole.reshape(
    count, rows, min(side, height), columns, min(side, width), 3
  )
  return blocks.mean(axis=(2, 4), dtype=np.float32)


def motion(recording: base.Recording) -> Float[np.ndarray, "F D"] | None:
  """Returns what moves, in ranges of its dimensions; None if nothing does."""
  moving = {
    n: x.values for n, x in recording.vectors.items() if vectors.moves(n)
  }
  # velocities and torques are noisy while the robot rests
  poses = [x for name, x in moving.items() if vectors.last(name) in _POSES]
  values = poses or list(moving.values())
  if not values:
    return None
  together = np.concatenate(values, axis=1)
  span = np.ptp(together, axis=0)
  return (together / np.where(span > 0, span, np.inf)).astype(np.float32)


def runs(
  shown: Float[np.ndarray, "B h w 3"],
  states: Float[np.ndarray, "B D"] | None,
  flat: np.ndarray,
) -> Iterator[tuple[int, int]]:
  """Yields first and last of frames that are alike while the robot moved."""
  start = 0
  for index in range(1, len(shown) + 1):
    if index < len(shown):
      change = float(np.abs(shown[index] - shown[start]).max())
      if change < SAME:
        continue
    end = index - 1
    moved = states is None or (
      float(np.ptp(states[start : end + 1], axis=0).max(initial=0)) > _MOVED
    )
    if end > start and moved and not flat[start]:
      yield start, end
    start = index
