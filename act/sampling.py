"""Where samples start: an endless order of frames that a seed decides.

"frames": every frame of every episode once an epoch, shuffled (LeRobot).
"episodes": one random frame of every episode an epoch (the original).

Batch b is a function of the seed and b alone, so a position is a state. Grain
shuffles by walking a cipher of 2^16 values until it falls within the range:
7 ms a sample for 6 episodes. A permutation an epoch costs nothing.

Letters: B batch, E episodes, N samples of an epoch.
"""

import sys

import numpy as np
from jaxtyping import Int

SAMPLINGS = ("frames", "episodes")
_KEPT_EPOCHS = 4


class Starts:
  """A random-access source: item b holds the frames that batch b starts at."""

  def __init__(
    self,
    first_frames: Int[np.ndarray, " E"],
    lengths: Int[np.ndarray, " E"],
    sampling: str,
    batch_size: int,
    seed: int,
  ):
    self._first_frames, self._lengths = first_frames, lengths
    self._sampling, self._batch_size = sampling, batch_size
    self._seed = seed
    self._orders: dict[int, Int[np.ndarray, " N"]] = {}
    frames = int(lengths.sum())
    self.samples_per_epoch = frames if sampling == "frames" else len(lengths)

  def __len__(self) -> int:
    return sys.maxsize // 2  # batches never end; half, for Grain's arithmetic

  def __getitem__(self, index: int) -> Int[np.ndarray, " B"]:
    positions = index * self._batch_size + np.arange(self._batch_size)
    epochs, places = np.divmod(positions, self.samples_per_epoch)
    out = np.empty_like(positions)
    for epoch in np.unique(epochs):
      here = epochs == epoch
      out[here] = self._order(int(epoch))[places[here]]
    return out

  def _order(self, epoch: int) -> Int[np.ndarray, " N"]:
    order = self._orders.get(epoch)
    if order is None:
      order = self._draw(epoch)
      recent = list(self._orders.items())[-_KEPT_EPOCHS + 1 :]
      # a new dictionary, because other threads may be reading the old one
      self._orders = dict([*recent, (epoch, order)])
    return order

  def _draw(self, epoch: int) -> Int[np.ndarray, " N"]:
    rng = np.random.default_rng((self._seed, epoch))
    if self._sampling == "episodes":
      starts = self._first_frames + rng.integers(self._lengths)
      return rng.permutation(starts)
    pairs = zip(self._first_frames, self._lengths, strict=True)
    return rng.permutation(
      np.concatenate([first + np.arange(length) for first, length in pairs])
    )
