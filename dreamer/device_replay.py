"""A replay buffer in device memory, for functions under `jax.jit`.

Rings of steps, one for each environment, all advancing together. Sampling,
writing and writing back of latents happen inside a compiled program: nothing
crosses the bus. Axes: N capacity in steps of an environment, E environments,
B batch, L length of a sequence.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

Tree = dict[str, Any]


@flax.struct.dataclass
class DeviceReplay:
  """The rings, where the next step is written, and how many there are.

  `steps` are arrays [N, E, ...]; `position` and `size` are int32 [].
  """

  steps: Any
  position: Any
  size: Any


def create(capacity: int, step: Tree) -> DeviceReplay:
  """Returns an empty buffer.

  Args:
    capacity: steps of each environment.
    step: what one step looks like, arrays [E, ...] (or their specs).
  """
  steps = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), step)
  return DeviceReplay(steps, jnp.int32(0), jnp.int32(0))


def add(replay: DeviceReplay, step: Tree) -> DeviceReplay:
  """Returns the buffer with one more step of each environment."""
  capacity = jax.tree.leaves(replay.steps)[0].shape[0]
  steps = jax.tree.map(
    lambda ring, x: ring.at[replay.position].set(x), replay.steps, step
  )
  position = (replay.position + 1) % capacity
  return DeviceReplay(steps, position, jnp.minimum(replay.size + 1, capacity))


def sample(
  replay: DeviceReplay, batch: int, length: int, key: jax.Array
) -> tuple[Tree, tuple[Int[Array, "B L"], Int[Array, " B"]]]:
  """Returns sequences [B, L, ...], uniform over all starts, and their places.

  There must be at least `length` steps.
  """
  capacity, environments = jax.tree.leaves(replay.steps)[0].shape[:2]
  start_key, environment_key = jax.random.split(key)
  starts = jax.random.randint(start_key, (batch,), 0, replay.size - length + 1)
  rows = jax.random.randint(environment_key, (batch,), 0, environments)
  oldest = replay.position - replay.size
  times = (oldest + starts[:, None] + jnp.arange(length)[None]) % capacity
  found = jax.tree.map(lambda ring: ring[times, rows[:, None]], replay.steps)
  return found, (times, rows)


def marked(found: Tree) -> Tree:
  """Returns sequences as the host's replay gives them.

  The first step is marked `is_first`: it is context. A step before another
  episode's first, which an environment that was replaced leaves, is marked
  `is_last`.
  """
  first = found["is_first"].at[:, 0].set(True)
  last = found["is_last"]
  last = last.at[:, :-1].set(last[:, :-1] | found["is_first"][:, 1:])
  return found | {"is_first": first, "is_last": last}


def write_back(
  replay: DeviceReplay,
  places: tuple[Int[Array, "B L"], Int[Array, " B"]],
  values: Tree,
) -> DeviceReplay:
  """Returns the buffer with `values` {key: [B, L, ...]} at sampled places."""
  times, rows = places
  steps = dict(replay.steps)
  for name, value in values.items():
    ring = steps[name]
    steps[name] = ring.at[times, rows[:, None]].set(value.astype(ring.dtype))
  return dataclasses.replace(replay, steps=steps)
