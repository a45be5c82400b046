"""What a replay buffer holds, to and from the state of a checkpoint."""

import collections
import dataclasses
from typing import Any

import numpy as np

from carnet import errors
from carnet.checkpoint import chunks
from dreamer import replay_chunks

_VERSION = 1


@dataclasses.dataclass
class Contents:
  """Everything that changes in a buffer, except its random numbers.

  Attributes:
    spec: what a step looks like; None before the first one.
    streams: by the environment's number.
    order: of which stream each full block is, the first one full first.
    queue: items not yet sampled, the oldest first.
    counts: "added" steps and "sampled" sequences.
  """

  spec: replay_chunks.Spec | None = None
  streams: dict[int, replay_chunks.Stream] = dataclasses.field(
    default_factory=dict
  )
  order: collections.deque[int] = dataclasses.field(
    default_factory=collections.deque
  )
  queue: collections.deque[tuple[int, int]] = dataclasses.field(
    default_factory=collections.deque
  )
  counts: dict[str, int] = dataclasses.field(
    default_factory=lambda: {"added": 0, "sampled": 0}
  )


def to_state(
  contents: Contents, chunk_size: int, rng: np.random.Generator
) -> chunks.Chunked:
  """Returns the chunks, stream by stream, and the rest as JSON.

  A block gives one chunk of what never changes and, if there are any, one of
  latents and priorities.
  """
  blocks = [block for s in contents.streams.values() for block in s.blocks]
  facts = {
    "version": _VERSION,
    "chunk_size": chunk_size,
    "chunks_per_block": 2 if blocks and blocks[0].mutable else 1,
    "keys": list(contents.spec or {}),
    "streams": [
      [number, stream.begin, stream.end]
      for number, stream in contents.streams.items()
    ],
    "order": list(contents.order),
    "queue": [list(item) for item in contents.queue],
    "counts": dict(contents.counts),
    "random": _as_text(rng.bit_generator.state),
  }
  parts = [chunk for block in blocks for chunk in block.to_chunks()]
  return chunks.Chunked(parts, facts)


def from_state(
  state: chunks.Chunked, chunk_size: int, initial: float | None
) -> tuple[Contents, np.random.Generator]:
  """Returns what `to_state` was given.

  Raises:
    UserError: the state is of another chunk size, or of something else.
  """
  try:
    return _parse(state, chunk_size, initial)
  except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(
      f"this is not the state of a replay: {type(error).__name__} {error}"
    ) from error


def _parse(
  state: chunks.Chunked, chunk_size: int, initial: float | None
) -> tuple[Contents, np.random.Generator]:
  facts = state.facts
  if facts["version"] != _VERSION or facts["chunk_size"] != chunk_size:
    raise errors.UserError(
      f"the replay was stored in chunks of {facts['chunk_size']} (format "
      f"{facts['version']}), not {chunk_size} (format {_VERSION}): set "
      "chunk_size as it was"
    )
  per_block = facts["chunks_per_block"]
  groups = [
    list(state.chunks[i : i + per_block])
    for i in range(0, len(state.chunks), per_block)
  ]
  if per_block not in (1, 2) or len(state.chunks) % per_block:
    raise ValueError(f"{len(state.chunks)} chunks by {per_block}")
  contents = Contents(spec=_spec(facts["keys"], groups))
  for number, begin, end in facts["streams"]:
    stream = replay_chunks.Stream(chunk_size)
    stream.begin = stream.end = begin
    count = -(-(end - begin) // chunk_size)
    own, groups = groups[:count], groups[count:]
    for group in own:
      block = replay_chunks.Block.from_chunks(
        group, contents.spec or {}, chunk_size, initial
      )
      stream.blocks.append(block)
      stream.end += block.filled
    full = [block.filled == chunk_size for block in stream.blocks[:-1]]
    if stream.end != end or begin % chunk_size or not all(full):
      raise ValueError(f"stream {number} ends at {stream.end}, not {end}")
    contents.streams[number] = stream
  if groups:
    raise ValueError(f"{len(groups)} blocks belong to no stream")
  _take_order(contents, facts)
  rng = np.random.Generator(np.random.PCG64(0))
  rng.bit_generator.state = _as_numbers(facts["random"])
  return contents, rng


def _take_order(contents: Contents, facts: dict[str, Any]) -> None:
  contents.order.extend(facts["order"])
  contents.queue.extend((number, start) for number, start in facts["queue"])
  contents.counts.update(facts["counts"])
  full = collections.Counter(
    number
    for number, stream in contents.streams.items()
    for block in stream.blocks
    if block.filled == block.size
  )
  if full != collections.Counter(contents.order):
    raise ValueError("the order of eviction does not fit the streams")
  if not {number for number, _ in contents.queue} <= contents.streams.keys():
    raise ValueError("the online queue does not fit the streams")


def _spec(
  keys: list[str], groups: list[list[chunks.Chunk]]
) -> replay_chunks.Spec | None:
  if not groups:
    return None
  arrays = {k: a for chunk in groups[0] for k, a in chunk.arrays.items()}
  return {key: (arrays[key].shape[1:], arrays[key].dtype) for key in keys}


def _as_text(state: Any) -> Any:
  # PCG64 counts in 128 bits, which not every reader of JSON keeps.
  if isinstance(state, dict):
    return {key: _as_text(value) for key, value in state.items()}
  return state if isinstance(state, str) else str(state)


def _as_numbers(state: Any) -> Any:
  if isinstance(state, dict):
    return {
      key: value if key == "bit_generator" else _as_numbers(value)
      for key, value in state.items()
    }
  return int(state)
