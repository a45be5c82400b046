"""A `device_replay` as a component of a checkpoint.

A save brings the rings to the host and cuts them along time into chunks, so
that blocks that did not change are not written again. Axes: N steps of an
environment, E environments.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnet import errors
from carnet.checkpoint import chunks
from dreamer import device_replay

_VERSION = 1
_LATENTS = ("deter", "stoch")  # written back to: kept apart from what stays


class DeviceBuffer:
  """The rings and how full they are.

  Attributes:
    replay: the rings, for compiled updates.
    steps: of each environment that are stored; who adds to `replay` in a
      program of their own tells by `advance`.

  Args:
    capacity: steps of each environment.
    chunk_size: steps of a chunk.
    example: what a step of all environments looks like, arrays [E, ...].
    sharding: where the rings lie; None leaves it to JAX. Programs that take
      them are compiled again where this changes, as it would after loading.
  """

  def __init__(
    self,
    capacity: int,
    chunk_size: int,
    example: dict[str, Any],
    sharding: jax.sharding.Sharding | None = None,
  ) -> None:
    self.capacity, self.chunk_size, self.steps = capacity, chunk_size, 0
    self._sharding = sharding
    self.replay = self._placed(device_replay.create(capacity, example))
    self._add = jax.jit(device_replay.add, donate_argnums=0)

  def add(self, step: dict[str, Any]) -> None:
    """Appends a step of each environment, arrays [E, ...]."""
    self.replay = self._add(self.replay, step)
    self.advance(1)

  def advance(self, steps: int) -> None:
    """Counts steps that were added to `replay`."""
    self.steps = min(self.steps + steps, self.capacity)

  def look(self, batch: int, length: int, seed: int) -> dict[str, Any] | None:
    """Returns sequences [batch, length, ...], or None if none is as long."""
    if self.steps < length:
      return None
    key = jax.random.key(seed)
    return device_replay.sample(self.replay, batch, length, key)[0]

  def state(self) -> chunks.Chunked:
    """Returns the written part of the rings in chunks, and where they stand."""
    facts = {
      "version": _VERSION,
      "capacity": self.capacity,
      "chunk_size": self.chunk_size,
      "steps": self.steps,
      "position": int(self.replay.position),
    }
    parts = []
    for begin in range(0, self.steps, self.chunk_size):
      end = min(begin + self.chunk_size, self.steps)
      block = {n: np.array(x[begin:end]) for n, x in self.replay.steps.items()}
      for names in (block.keys() - set(_LATENTS), block.keys() & set(_LATENTS)):
        parts.append(chunks.Chunk({n: block[n] for n in sorted(names)}))
    return chunks.Chunked(parts, facts)

  def load_state(self, state: chunks.Chunked) -> None:
    """Goes on from a state.

    Raises:
      UserError: it is of another capacity, or of something else.
    """
    try:
      self._load(state)
    except (KeyError, IndexError, TypeError, ValueError) as error:
      raise errors.UserError(
        "this is not the state of a replay in device memory: "
        f"{type(error).__name__} {error}"
      ) from error

  def _load(self, state: chunks.Chunked) -> None:
    facts = state.facts
    for name in ("capacity", "chunk_size"):
      if facts[name] != getattr(self, name):
        raise errors.UserError(
          f"the replay was stored with a {name} of {facts[name]} steps an "
          f"environment, not {getattr(self, name)}: set it as it was"
        )
    if facts["version"] != _VERSION:
      raise ValueError(f"format {facts['version']}, not {_VERSION}")
    steps, position = int(facts["steps"]), int(facts["position"])
    if steps < self.capacity:  # the rings are not full, so written from 0 on
      fits = position == steps
    else:
      fits = 0 <= position < self.capacity
    if not fits:
      raise ValueError(f"position {position} after {steps} steps")
    blocks = [
      dict(a.arrays) | dict(b.arrays)
      for a, b in zip(state.chunks[::2], state.chunks[1::2], strict=True)
    ]
    rings = {
      name: self._filled(name, ring, [b[name] for b in blocks], steps)
      for name, ring in self.replay.steps.items()
    }
    self.steps = steps
    self.replay = self._placed(
      device_replay.DeviceReplay(rings, jnp.int32(position), jnp.int32(steps))
    )

  def _placed(
    self, replay: device_replay.DeviceReplay
  ) -> device_replay.DeviceReplay:
    if self._sharding is None:
      return replay
    return jax.device_put(replay, self._sharding)

  def _filled(
    self, name: str, ring: jax.Array, parts: list[np.ndarray], steps: int
  ) -> jax.Array:
    """Returns a ring like this one, with the parts at its beginning."""
    rows = np.zeros(ring.shape, ring.dtype)
    begin = 0
    for part in parts:
      if len(part) != min(self.chunk_size, steps - begin):
        raise ValueError(f"'{name}' has a block of {len(part)} steps")
      if part.dtype != ring.dtype or part.shape[1:] != ring.shape[1:]:
        raise ValueError(f"'{name}' is {part.dtype} {part.shape[1:]}")
      rows[begin : begin + len(part)] = part
      begin += len(part)
    if begin != steps:
      raise ValueError(f"'{name}' has {begin} steps, not {steps}")
    return jnp.asarray(rows)
