"""Streams of steps in host memory, kept in blocks that become chunks.

A block holds `size` consecutive steps of one stream, one array a key. What the
environment gave never changes again: a full block's arrays become an immutable
`chunks.Chunk` without a copy. Latents and priorities change later, so they
live in arrays of their own, copied for a save when they changed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from carnet import errors
from carnet.checkpoint import chunks

LATENTS = ("deter", "stoch")
PRIORITY = "priority"  # beside the latents, float64 for each first step
REQUIRED = ("reward", "is_first", "is_last", "is_terminal")
RESERVED = (PRIORITY, "stepid")

# What a step looks like: key -> (shape, dtype).
Spec = dict[str, tuple[tuple[int, ...], np.dtype]]


class Block:
  """Up to `size` consecutive steps of one stream.

  Attributes:
    filled: how many steps it holds.
    fixed: arrays [size, ...] of what the environment gave.
    mutable: arrays [size, ...] of latents and priorities.
    version: grows with each change of `mutable`.
  """

  def __init__(self, spec: Spec, size: int, initial: float | None) -> None:
    self.size, self.filled, self.version = size, 0, 0
    self.fixed: Mapping[str, np.ndarray] = {}
    self.mutable: dict[str, np.ndarray] = {}
    self.fixed, self.mutable = (
      {
        key: np.zeros((size, *shape), dtype)
        for key, (shape, dtype) in spec.items()
        if (key in LATENTS) == latent
      }
      for latent in (False, True)
    )
    if initial is not None:
      self.mutable[PRIORITY] = np.full(size, initial)
    self._chunk: chunks.Chunk | None = None
    self._saved: tuple[tuple[int, int], chunks.Chunk] | None = None

  def append(self, step: Mapping[str, np.ndarray]) -> None:
    """Writes the next step; the last one makes the fixed arrays read-only."""
    for key, value in step.items():
      home = self.mutable if key in LATENTS else self.fixed
      home[key][self.filled] = value
    self.filled += 1
    self._chunk = None
    self.version += 1
    if self.filled == self.size:
      self._chunk = chunks.Chunk(self.fixed)
      self.fixed = self._chunk.arrays

  def write(self, rows: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
    """Replaces latents or priorities in some rows."""
    for key, value in values.items():
      self.mutable[key][rows] = value
    self.version += 1

  def to_chunks(self) -> list[chunks.Chunk]:
    """Returns what the environment gave and, if any, latents and priorities.

    What did not change since the last call is the same object.
    """
    if self._chunk is None:
      self._chunk = chunks.Chunk(_copied(self.fixed, self.filled))
    if not self.mutable:
      return [self._chunk]
    mark = (self.version, self.filled)
    if self._saved is None or self._saved[0] != mark:
      copied = _copied(self.mutable, self.filled)
      self._saved = (mark, chunks.Chunk(copied))
    return [self._chunk, self._saved[1]]

  @classmethod
  def from_chunks(
    cls,
    parts: list[chunks.Chunk],
    spec: Spec,
    size: int,
    initial: float | None,
  ) -> "Block":
    """Returns the block that gave `parts`."""
    filled = len(parts[0].arrays["is_first"])
    block = cls({}, size, initial)
    fixed = {key: spec[key] for key in spec if key not in LATENTS}
    _check_arrays(parts[0], fixed, filled, size)
    if filled < size:
      block.fixed = _grown(parts[0].arrays, size)
    else:
      block.fixed = parts[0].arrays
    block.filled, block._chunk = filled, parts[0]
    if len(parts) > 1:
      latents = {key: spec[key] for key in spec if key in LATENTS}
      _check_arrays(parts[1], latents, filled, size)
      kept = {
        key: array
        for key, array in parts[1].arrays.items()
        if key != PRIORITY or initial is not None
      }
      block.mutable.update(_grown(kept, size))
      if set(kept) == set(block.mutable) == set(parts[1].arrays):
        block._saved = ((0, filled), parts[1])
      if initial is not None and filled < size:
        block.mutable[PRIORITY][filled:] = initial
    return block


class Stream:
  """The steps of one environment that are still there.

  Attributes:
    begin: position of the oldest step, counted from the stream's first one.
    end: position after the newest step.
  """

  def __init__(self, size: int) -> None:
    self.size, self.begin, self.end = size, 0, 0
    self.blocks: list[Block] = []

  def append(
    self, step: Mapping[str, np.ndarray], spec: Spec, initial: float | None
  ) -> bool:
    """Adds a step; returns whether that completed a block."""
    if self.end == self.begin + len(self.blocks) * self.size:
      self.blocks.append(Block(spec, self.size, initial))
    self.blocks[-1].append(step)
    self.end += 1
    return self.blocks[-1].filled == self.size

  def evict(self) -> None:
    """Forgets the oldest block, which is full."""
    del self.blocks[0]
    self.begin += self.size

  def items(self, length: int) -> int:
    """Returns how many starts of `length` consecutive steps there are."""
    return max(0, self.end - self.begin - length + 1)

  def holds(self, start: int, length: int) -> bool:
    """Tells whether `length` steps from a position on are all there."""
    return self.begin <= start and start + length <= self.end

  def read(self, start: int, length: int, out: dict[str, np.ndarray]) -> None:
    """Copies consecutive steps into arrays [length, ...]."""
    for block, here, there in self._pieces(start, length):
      for arrays in (block.fixed, block.mutable):
        for key in arrays.keys() & out.keys():
          out[key][there] = arrays[key][here]

  def write(
    self, positions: np.ndarray, values: Mapping[str, np.ndarray]
  ) -> None:
    """Replaces latents or priorities; positions not there are ignored.

    Where a position comes twice, the last one counts.
    """
    present = (positions >= self.begin) & (positions < self.end)
    numbers = (positions - self.begin) // self.size
    for number in np.unique(numbers[present]):
      chosen = present & (numbers == number)
      rows = (positions[chosen] - self.begin) % self.size
      self.blocks[number].write(
        rows, {key: value[chosen] for key, value in values.items()}
      )

  def _pieces(
    self, start: int, length: int
  ) -> Iterator[tuple[Block, slice, slice]]:
    done = 0
    while done < length:
      number, row = divmod(start + done - self.begin, self.size)
      count = min(length - done, self.size - row)
      yield (
        self.blocks[number],
        slice(row, row + count),
        slice(done, done + count),
      )
      done += count


def spec_of(step: Mapping[str, np.ndarray], where: str) -> Spec:
  """Returns what the steps after this first one must look like.

  Raises:
    UserError: a key is missing or taken, or a dtype cannot be stored.
  """
  for key in REQUIRED:
    if key not in step:
      raise errors.UserError(
        f"'{key}' is missing in {where}: every step needs it"
      )
  for key in RESERVED:
    if key in step:
      raise errors.UserError(
        f"'{key}' in {where} has a name that replay uses: rename it"
      )
  try:
    chunks.Chunk({key: np.array(value) for key, value in step.items()})
  except errors.UserError as error:
    raise errors.UserError(f"{where} cannot be stored: {error}") from error
  return {key: (value.shape, value.dtype) for key, value in step.items()}


def check(step: Mapping[str, np.ndarray], spec: Spec, where: str) -> None:
  """Raises UserError for a step that does not fit, or that holds a NaN."""
  for key in sorted(spec.keys() | step.keys()):
    if key not in step or key not in spec:
      fault = "is missing" if key in spec else "was not there before"
      raise errors.UserError(f"'{key}' {fault} in {where}")
    (shape, dtype), value = spec[key], step[key]
    if (value.shape, value.dtype) != (shape, dtype):
      raise errors.UserError(
        f"'{key}' is {value.dtype}{list(value.shape)} instead of "
        f"{dtype}{list(shape)} in {where}: the spaces changed"
      )
    if value.dtype.kind not in "biu" and np.isnan(value).any():
      raise errors.UserError(f"'{key}' holds a NaN in {where}")


def flatten(
  ids: np.ndarray, values: Mapping[str, Any], spec: Spec, what: str
) -> dict[str, np.ndarray]:
  """Returns values [*ids.shape, ...] as [N, ...], in the dtypes of `spec`.

  Raises:
    UserError: a key is not stored, or has another shape.
  """
  flat = {}
  for key, value in values.items():
    if key not in spec:
      raise errors.UserError(f"this replay holds no {what}: '{key}'")
    shape, dtype = spec[key]
    if np.shape(value) != (*ids.shape, *shape):
      raise errors.UserError(
        f"{what} '{key}' are {list(np.shape(value))} instead of "
        f"{[*ids.shape, *shape]}"
      )
    flat[key] = np.asarray(value).astype(dtype).reshape(-1, *shape)
  return flat


def _copied(arrays: Mapping[str, np.ndarray], filled: int) -> dict[str, Any]:
  return {key: array[:filled].copy() for key, array in arrays.items()}


def _grown(arrays: Mapping[str, np.ndarray], size: int) -> dict[str, Any]:
  grown = {}
  for key, array in arrays.items():
    grown[key] = np.zeros((size, *array.shape[1:]), array.dtype)
    grown[key][: len(array)] = array
  return grown


def _check_arrays(
  chunk: chunks.Chunk, spec: Spec, filled: int, size: int
) -> None:
  found = {
    key: (array.shape, array.dtype) for key, array in chunk.arrays.items()
  }
  wanted = {
    key: ((filled, *shape), dtype) for key, (shape, dtype) in spec.items()
  }
  if PRIORITY in found:
    wanted[PRIORITY] = ((filled,), np.dtype(np.float64))
  if found != wanted or not 0 < filled <= size:
    raise errors.UserError(
      "a chunk of the stored replay does not fit the others: "
      f"{found} instead of {wanted}"
    )
