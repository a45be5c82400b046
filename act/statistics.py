"""Statistics that policies are normalised with: one block per feature.

A block is {"mean", "std", "min", "max", "q01", "q10", "q90", "q99"}, a list of
numbers each. Vectors use every frame. Images, per channel and in 0..1, use
every tenth frame and at most about 128 rows and columns of it: they are
counted by value, so their quantiles are exact over that sample and the counts
of different episodes merge by addition. The standard deviation is the
population's, as in LeRobot and the original. Quantiles interpolate linearly.

Letters: F frames, D dimensions, T steps of an episode.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int64, UInt8

from carnet import errors

Block = dict[str, list[float]]

QUANTILES = {"q01": 0.01, "q10": 0.1, "q90": 0.9, "q99": 0.99}
NAMES = ("mean", "std", "min", "max", *QUANTILES)
EVERY_FRAMES = 10
_SIDE = 128


def of_vectors(
  values: Float[np.ndarray, "F D"],
  quantiles: Mapping[str, float] = QUANTILES,
) -> Block:
  """Returns the block of a vector feature."""
  wide = values.astype(np.float64)
  block = {
    "mean": wide.mean(axis=0),
    "std": wide.std(axis=0),
    "min": wide.min(axis=0),
    "max": wide.max(axis=0),
  }
  for name, quantile in quantiles.items():
    block[name] = np.quantile(wide, quantile, axis=0)
  return {name: array.tolist() for name, array in block.items()}


def count(image: UInt8[np.ndarray, "H W 3"]) -> Int64[np.ndarray, "3 256"]:
  """Returns how often each value occurs in each channel of a thinned frame."""
  step = max(1, -(-max(image.shape[:2]) // _SIDE))
  thin = image[::step, ::step]
  return np.stack(
    [np.bincount(thin[..., c].ravel(), minlength=256) for c in range(3)]
  ).astype(np.int64)


def of_counts(
  counts: Int64[np.ndarray, "3 256"],
  quantiles: Mapping[str, float] = QUANTILES,
) -> Block:
  """Returns the block of an image feature from its summed counts."""
  levels = np.arange(256) / 255.0
  blocks = [_of_channel(channel, levels, quantiles) for channel in counts]
  return {name: [block[name] for block in blocks] for name in blocks[0]}


def check(name: str, block: object, size: int, path: str) -> None:
  """Raises UserError unless `block` holds `size` finite numbers per entry."""
  if not isinstance(block, dict):
    raise errors.UserError(
      f"{path}: no statistics of '{name}'; collect the demonstrations again"
    )
  for key in NAMES:
    numbers = block.get(key)
    if not isinstance(numbers, list) or len(numbers) != size:
      raise errors.UserError(
        f"{path}: statistics of '{name}' lack {size} values of '{key}'"
      )
    if not all(isinstance(n, int | float) for n in numbers) or not np.all(
      np.isfinite(numbers)
    ):
      raise errors.UserError(
        f"{path}: statistics of '{name}' hold a '{key}' that is not finite"
      )


def _of_channel(
  counts: Int64[np.ndarray, " 256"],
  levels: Float[np.ndarray, " 256"],
  quantiles: Mapping[str, float],
) -> dict[str, float]:
  total = int(counts.sum())
  mean = float(counts @ levels / total)
  present = np.flatnonzero(counts)
  block = {
    "mean": mean,
    "std": float(np.sqrt(counts @ (levels - mean) ** 2 / total)),
    "min": float(levels[present[0]]),
    "max": float(levels[present[-1]]),
  }
  cumulative = np.cumsum(counts)
  for name, quantile in quantiles.items():
    rank = quantile * (total - 1)
    low, high = int(np.floor(rank)), int(np.ceil(rank))
    below, above = (
      levels[np.searchsorted(cumulative, index, side="right")]
      for index in (low, high)
    )
    block[name] = float(below + (rank - low) * (above - below))
  return block
