"""Several processes, one checkpoint: who this is, and agreeing on something.

The functions that agree are collective: every process calls them, in the same
order, in its main thread. Files, and never the network, carry state: the
directory must lie on storage that all processes share.
"""

import dataclasses

import jax
import numpy as np
from jax.experimental import multihost_utils

from carnet.checkpoint import manifest


@dataclasses.dataclass(frozen=True)
class Process:
  """One of `count` processes."""

  index: int = 0
  count: int = 1

  @property
  def alone(self) -> bool:
    """Tells whether there is no other."""
    return self.count == 1

  @property
  def leads(self) -> bool:
    """Tells whether this is the one that writes and decides."""
    return self.index == 0

  def within(self, name: str) -> str:
    """Returns the path of this process's own state within a component."""
    return manifest.root(name, self.index, self.count)


def this() -> Process:
  """Returns which process of how many this is."""
  return Process(jax.process_index(), jax.process_count())


def from_leader(value: int) -> int:
  """Returns the first process's value, which fits 63 bits, in all of them."""
  if jax.process_count() == 1:
    return value
  halves = np.array([value >> 32, value & 0xFFFFFFFF], np.uint32)
  high, low = multihost_utils.broadcast_one_to_all(halves)
  return int(high) << 32 | int(low)


def from_all(value: int) -> list[int]:
  """Returns every process's value, which fits 63 bits, in all of them."""
  if jax.process_count() == 1:
    return [value]
  halves = np.array([value >> 32, value & 0xFFFFFFFF], np.uint32)
  found = multihost_utils.process_allgather(halves)
  return [
    int(high) << 32 | int(low) for high, low in np.reshape(found, (-1, 2))
  ]
