"""Replay of fixed-length sequences, and its buffer in host memory.

Every environment is a stream of steps; an item is any start of `length`
consecutive steps of a stream, across the ends of episodes. The buffer is a
component of `carnet.checkpoint`: a run that was killed goes on with the same
data, latents and samples, and a save writes what is new. Departures from the
original (embodied/core/replay.py) are said where they are.
"""

import collections
import threading
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from carnet import errors
from carnet.checkpoint import chunks
from dreamer import replay_chunks, replay_state, selectors

_BITS = 40  # of a step's id that are the position in its stream
FRACTIONS = {"uniform": 1.0, "priority": 0.0, "recency": 0.0}


@runtime_checkable
class Buffer(Protocol):
  """What a training loop needs of a replay buffer, wherever its memory is.

  Axes: B batch, L length of a sequence.
  """

  def __len__(self) -> int:
    """Returns how many items can be sampled."""

  def add(self, stream: int, step: Mapping[str, Any]) -> None:
    """Appends a step, key -> value without leading axes, to a stream."""

  def sample(self, batch_size: int, train: bool = True) -> dict[str, Any]:
    """Returns arrays [B, L, ...] and the steps' ids as "stepid" [B, L]."""

  def update_latents(self, ids: Any, deter: Any, stoch: Any) -> None:
    """Replaces latents [B, L, ...] of steps; those gone are ignored."""

  def state(self) -> chunks.Chunked:
    """Returns everything that is needed to go on."""

  def load_state(self, state: chunks.Chunked) -> None:
    """Goes on from a state."""


class Replay:
  """A buffer of numpy arrays, with the latents that training writes back.

  The methods may be called from several threads.

  Args:
    length: steps of an item, context included.
    capacity: steps of all streams together. Beyond it, blocks go whole, in the
      order in which they became full.
    chunk_size: steps of a block.
    online: starts at multiples of `length` are sampled first, once each, as
      soon as they are complete. (The original begins at the second step.)
    fractions: of "uniform", "priority" and "recency"; what is not named is 0.
    priority_exponent: see `selectors.Prioritized`.
    initial_priority: of an item until `prioritize`.
    recency_exponent: see `selectors.Recency`.
    seed: of sampling. (The original always takes 0.)
  """

  def __init__(
    self,
    length: int = 65,
    capacity: int = 5_000_000,
    chunk_size: int = 1024,
    online: bool = True,
    fractions: Mapping[str, float] | None = None,
    priority_exponent: float = 0.8,
    initial_priority: float = 1.0,
    recency_exponent: float = 1.0,
    seed: int = 0,
  ) -> None:
    given = dict(FRACTIONS if fractions is None else fractions)
    for name in given:
      if name not in FRACTIONS:
        raise errors.unknown("fraction of replay", name, FRACTIONS)
    if min(length, chunk_size) < 1:
      raise errors.UserError(
        f"length {length} and chunk_size {chunk_size} must be at least 1"
      )
    self.length, self.capacity, self.chunk_size = length, capacity, chunk_size
    self._online = online
    self._initial = initial_priority if given.get("priority") else None
    parts: dict[str, selectors.Selector] = {
      "uniform": selectors.uniform,
      "priority": selectors.Prioritized(priority_exponent),
      "recency": selectors.Recency(recency_exponent),
    }
    self._select = selectors.Mixture(
      {name: (given.get(name, 0.0), part) for name, part in parts.items()}
    )
    self._rng = np.random.Generator(np.random.PCG64(seed))
    self._lock = threading.RLock()
    self._contents = replay_state.Contents()
    self._check_room(1)

  def __len__(self) -> int:
    """Returns how many items can be sampled."""
    with self._lock:
      streams = self._contents.streams.values()
      return sum(stream.items(self.length) for stream in streams)

  @property
  def steps(self) -> int:
    """How many steps are stored."""
    with self._lock:
      streams = self._contents.streams.values()
      return sum(stream.end - stream.begin for stream in streams)

  @property
  def counts(self) -> dict[str, int]:
    """How many steps were added and sequences sampled, ever."""
    return dict(self._contents.counts)

  def add(self, stream: int, step: Mapping[str, Any]) -> None:
    """Appends a step to a stream.

    Args:
      stream: number of the environment.
      step: observations, actions, reward, is_first, is_last, is_terminal and,
        where latents are kept, deter and stoch. The first step decides on keys,
        shapes and dtypes.

    Raises:
      UserError: the step does not fit the ones before, or holds a NaN.
    """
    stream = int(stream)
    arrays = {key: np.asarray(value) for key, value in step.items()}
    with self._lock:
      home = self._contents.streams.get(stream)
      where = f"step {home.end if home else 0} of stream {stream}"
      spec = self._contents.spec or replay_chunks.spec_of(arrays, where)
      replay_chunks.check(arrays, spec, where)
      if home is None:
        home = self._open(stream)
      self._contents.spec = spec
      if home.append(arrays, spec, self._initial):
        self._contents.order.append(stream)
      self._contents.counts["added"] += 1
      self._enqueue(stream, home.end - self.length)
      self._shrink()

  def sample(
    self,
    batch_size: int,
    train: bool = True,
    rng: np.random.Generator | None = None,
  ) -> dict[str, np.ndarray]:
    """Returns arrays [B, L, ...], and int64 "stepid" [B, L] for writing back.

    The first step of a sequence is marked `is_first`, as the original does; it
    is context. A step before another episode's first is marked `is_last`.

    Args:
      batch_size: B.
      train: also drains the online queue.
      rng: draws instead of the buffer's own source, which then stays as it is.

    Raises:
      UserError: no stream has `length` steps yet.
    """
    with self._lock:
      if not len(self):
        streams = self._contents.streams.values()
        longest = max((s.end - s.begin for s in streams), default=0)
        raise errors.UserError(
          f"a batch needs sequences of {self.length} steps and the longest "
          f"stream has {longest}: collect more, or use shorter batches"
        )
      items = [self._next(train, rng or self._rng) for _ in range(batch_size)]
      self._contents.counts["sampled"] += batch_size if train else 0
      return self._gather(items)

  def update_latents(self, ids: Any, deter: Any, stoch: Any) -> None:
    """Replaces the latents of the steps `ids`, cast to the dtypes stored.

    Args:
      ids: int64 [...], of `sample`; steps that are gone are ignored.
      deter: [..., D].
      stoch: [..., ...].

    Raises:
      UserError: no latents are stored, or they have another shape.
    """
    self._write(ids, {"deter": deter, "stoch": stoch}, "latents")

  def prioritize(self, ids: Any, priorities: Any) -> None:
    """Sets priorities of items.

    Args:
      ids: int64 [B], of the items' first steps; those gone are ignored.
      priorities: [B], finite and not negative.

    Raises:
      UserError: a priority is neither, or no fraction goes by priority.
    """
    values = np.asarray(priorities, np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
      raise errors.UserError("a priority is negative, infinite or NaN")
    self._write(ids, {replay_chunks.PRIORITY: values}, "priorities")

  def state(self) -> chunks.Chunked:
    """Returns chunks of steps and latents, and where sampling stands."""
    with self._lock:
      return replay_state.to_state(self._contents, self.chunk_size, self._rng)

  def load_state(self, state: chunks.Chunked) -> None:
    """Goes on from a state; what is beyond the capacity goes.

    Raises:
      UserError: it is not the state of a replay with this `chunk_size`.
    """
    contents, rng = replay_state.from_state(
      state, self.chunk_size, self._initial
    )
    self._check_room(max(1, len(contents.streams)))
    with self._lock:
      self._contents, self._rng = contents, rng
      self._shrink()

  def _check_room(self, streams: int) -> None:
    # With so much room there is a full block to evict, and an item remains.
    block = self.chunk_size
    least = streams * max(block, self.length) + block
    if self.capacity < least:
      raise errors.UserError(
        f"a replay capacity of {self.capacity} steps is too small for "
        f"{streams} streams in chunks of {block} and sequences of "
        f"{self.length}: use at least {least}, or a smaller chunk_size"
      )

  def _open(self, number: int) -> replay_chunks.Stream:
    if not 0 <= number < 1 << 22:
      raise errors.UserError(f"stream {number}: use a number from 0 on")
    self._check_room(len(self._contents.streams) + 1)
    stream = replay_chunks.Stream(self.chunk_size)
    self._contents.streams[number] = stream
    return stream

  def _enqueue(self, number: int, start: int) -> None:
    if self._online and start >= 0 and start % self.length == 0:
      self._contents.queue.append((number, start))

  def _shrink(self) -> None:
    contents, steps = self._contents, self.steps
    while steps > self.capacity:
      contents.streams[contents.order.popleft()].evict()
      steps -= self.chunk_size
      contents.queue = collections.deque(filter(self._present, contents.queue))

  def _present(self, item: selectors.Item) -> bool:
    return self._contents.streams[item[0]].holds(item[1], self.length)

  def _next(self, train: bool, rng: np.random.Generator) -> selectors.Item:
    queue = self._contents.queue
    while train and self._online and queue:
      item = queue.popleft()
      if self._present(item):
        return item
    return self._select(rng, self._contents.streams, self.length)

  def _gather(self, items: list[selectors.Item]) -> dict[str, np.ndarray]:
    spec = self._contents.spec or {}
    batch = {
      key: np.empty((len(items), self.length, *shape), dtype)
      for key, (shape, dtype) in spec.items()
    }
    for row, (number, start) in enumerate(items):
      out = {key: array[row] for key, array in batch.items()}
      self._contents.streams[number].read(start, self.length, out)
    starts = np.array(
      [(number << _BITS) + start for number, start in items], np.int64
    ).reshape(-1, 1)
    batch["stepid"] = starts + np.arange(self.length)
    batch["is_last"][:, :-1] |= batch["is_first"][:, 1:]
    batch["is_first"][:, 0] = True
    return batch

  def _write(self, ids: Any, values: Mapping[str, Any], what: str) -> None:
    ids, spec = np.asarray(ids, np.int64), dict(self._contents.spec or {})
    if self._initial is not None:
      spec[replay_chunks.PRIORITY] = ((), np.dtype(np.float64))
    flat = replay_chunks.flatten(ids, values, spec, what)
    numbers, positions = ids.ravel() >> _BITS, ids.ravel() & ((1 << _BITS) - 1)
    with self._lock:
      for number in np.unique(numbers):
        stream, chosen = self._contents.streams.get(number), numbers == number
        if stream is not None:
          parts = {key: value[chosen] for key, value in flat.items()}
          stream.write(positions[chosen], parts)
