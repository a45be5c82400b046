"""Which stored sequence to replay: uniform, by priority, by recency.

An item is a stream and the position of its first step. Since old steps go in
order, the items of a stream are an interval, and no table of them is needed.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from carnet import errors
from dreamer import replay_chunks

Streams = Mapping[int, replay_chunks.Stream]
Item = tuple[int, int]


@runtime_checkable
class Selector(Protocol):
  """Draws one of the items that are there."""

  def __call__(
    self, rng: np.random.Generator, streams: Streams, length: int
  ) -> Item:
    """Returns a stream's number and a start; there is at least one item."""


def _place(rng: np.random.Generator, streams: Streams, length: int) -> Item:
  """Returns a stream and how many of its items are older, uniform."""
  index = int(rng.integers(sum(s.items(length) for s in streams.values())))
  for number, stream in streams.items():
    if index < stream.items(length):
      return number, index
    index -= stream.items(length)
  raise AssertionError("the counts changed")


def uniform(rng: np.random.Generator, streams: Streams, length: int) -> Item:
  """Every item is equally likely."""
  number, index = _place(rng, streams, length)
  return number, streams[number].begin + index


class Recency:
  """The k-th newest item of a stream has weight `k ** -exponent`.

  The stream is drawn by its number of items. The original ranks the items of
  all streams together, which is nearly the same where streams advance
  together.
  """

  def __init__(self, exponent: float) -> None:
    self._exponent = exponent
    self._sums = np.zeros(0)

  def __call__(
    self, rng: np.random.Generator, streams: Streams, length: int
  ) -> Item:
    """Returns an item."""
    number, _ = _place(rng, streams, length)
    stream = streams[number]
    count = stream.items(length)
    if len(self._sums) < count:
      ranks = np.arange(1, 2 * count + 1, dtype=np.float64)
      self._sums = np.cumsum(ranks**-self._exponent)
    draw = rng.random() * self._sums[count - 1]
    age = int(np.searchsorted(self._sums[: count - 1], draw, side="right"))
    return number, stream.begin + count - 1 - age


class Prioritized:
  """An item has weight `priority ** exponent`; all zero is uniform.

  Two levels: the sums of blocks, then the items of one. Sums are kept until a
  block changes.
  """

  def __init__(self, exponent: float) -> None:
    self._exponent = exponent
    self._sums: dict[Item, tuple[replay_chunks.Block, int, int, float]] = {}

  def __call__(
    self, rng: np.random.Generator, streams: Streams, length: int
  ) -> Item:
    """Returns an item."""
    kept: dict[Item, tuple[replay_chunks.Block, int, int, float]] = {}
    places, counts = [], []
    for number, stream in streams.items():
      left = stream.items(length)
      for index, block in enumerate(stream.blocks):
        count = min(max(left - index * stream.size, 0), stream.size)
        if count:
          place = (number, stream.begin + index * stream.size)
          kept[place] = self._sum(place, block, count)
          places.append(place)
          counts.append(count)
    self._sums = kept
    sums = np.array([kept[place][3] for place in places])
    if not sums.sum() > 0:
      return uniform(rng, streams, length)
    chosen = _draw(rng, sums)
    number, begin = places[chosen]
    weights = self._weights(kept[places[chosen]][0], counts[chosen])
    return number, begin + _draw(rng, weights)

  def _weights(self, block: replay_chunks.Block, count: int) -> np.ndarray:
    priorities = block.mutable[replay_chunks.PRIORITY][:count]
    return np.where(priorities > 0, priorities, 0.0) ** self._exponent * (
      priorities > 0
    )

  def _sum(
    self, place: Item, block: replay_chunks.Block, count: int
  ) -> tuple[replay_chunks.Block, int, int, float]:
    old = self._sums.get(place)
    if old and old[:3] == (block, block.version, count):
      return old
    total = float(self._weights(block, count).sum())
    return block, block.version, count, total


class Mixture:
  """Draws a selector by its fraction, then an item by it."""

  def __init__(self, parts: Mapping[str, tuple[float, Selector]]) -> None:
    fractions = [fraction for fraction, _ in parts.values()]
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
      raise errors.UserError(
        f"fractions of replay {dict(zip(parts, fractions, strict=True))}: they "
        "must not be negative and add up to 1"
      )
    self._parts = [part for part in parts.values() if part[0] > 0]

  def __call__(
    self, rng: np.random.Generator, streams: Streams, length: int
  ) -> Item:
    """Returns an item."""
    if len(self._parts) == 1:
      return self._parts[0][1](rng, streams, length)
    chosen = _draw(rng, np.array([fraction for fraction, _ in self._parts]))
    return self._parts[chosen][1](rng, streams, length)


def _draw(rng: np.random.Generator, weights: np.ndarray) -> int:
  sums = np.cumsum(weights)
  index = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
  return min(index, int(np.flatnonzero(weights)[-1]))
