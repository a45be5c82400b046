"""The arrays through which N environments are told and show what happens.

In memory that several processes see, or in this process alone. Nothing has a
name in the file system, so nothing is left behind by a process that is killed.
"""

import dataclasses
import mmap
import os
import tempfile

import numpy as np
from jaxtyping import Bool, Float32, UInt32

from carnet.envs import base

_ALIGNMENT = 64  # bytes: a cache line, so that processes do not share one


@dataclasses.dataclass(frozen=True)
class Spaces:
  """What one environment shows and takes, and how often."""

  observation: dict[str, base.Space]
  action: base.Space | dict[str, base.Space]
  control_hz: float

  @property
  def actions(self) -> dict[str, base.Space]:
    """The action's arrays by name; a single one is called "action"."""
    if isinstance(self.action, base.Space):
      return {"action": self.action}
    return self.action


def spaces_of(env: base.Env) -> Spaces:
  """Returns the spaces of an environment."""
  return Spaces(
    dict(env.observation_space), env.action_space, float(env.control_hz)
  )


@dataclasses.dataclass(frozen=True)
class Buffers:
  """One row an environment; `resets` and `seeds` say who begins an episode."""

  observation: dict[str, np.ndarray]
  action: dict[str, np.ndarray]
  reward: Float32[np.ndarray, " N"]
  is_first: Bool[np.ndarray, " N"]
  is_last: Bool[np.ndarray, " N"]
  is_terminal: Bool[np.ndarray, " N"]
  resets: Bool[np.ndarray, " N"]
  seeds: UInt32[np.ndarray, " N"]


def size_bytes(spaces: Spaces, count: int) -> int:
  """Returns how much memory `over` needs."""
  sizes = [_size(space, count) for _, space in _arrays(spaces)]
  return sum(sizes)


def over(memory: bytearray | mmap.mmap, spaces: Spaces, count: int) -> Buffers:
  """Returns the arrays of `count` environments, lying in `memory`."""
  offset, found = 0, []
  for _, space in _arrays(spaces):
    shape = (count, *space.shape)
    found.append(np.ndarray(shape, space.dtype, memory, offset))
    offset += _size(space, count)
  observations, actions = len(spaces.observation), len(spaces.actions)
  return Buffers(
    dict(zip(spaces.observation, found[:observations], strict=True)),
    dict(
      zip(
        spaces.actions,
        found[observations : observations + actions],
        strict=True,
      )
    ),
    *found[observations + actions :],
  )


def share(size: int) -> tuple[int, mmap.mmap]:
  """Returns the descriptor of memory to hand to other processes, and a map."""
  if hasattr(os, "memfd_create"):  # Linux
    descriptor = os.memfd_create("carnet-environments")
  else:
    with tempfile.TemporaryFile() as file:  # already without a name
      descriptor = os.dup(file.fileno())
  os.ftruncate(descriptor, size)
  return descriptor, mmap.mmap(descriptor, size)


def _arrays(spaces: Spaces) -> list[tuple[str, base.Space]]:
  flag = base.Space((), "bool")
  flags = [(name, flag) for name in ("first", "last", "terminal", "resets")]
  return [
    *spaces.observation.items(),
    *spaces.actions.items(),
    ("reward", base.Space((), "float32")),
    *flags,
    ("seeds", base.Space((), "uint32")),
  ]


def _size(space: base.Space, count: int) -> int:
  numbers = count * int(np.prod(space.shape, dtype=np.int64))
  used = numbers * np.dtype(space.dtype).itemsize
  return -(-used // _ALIGNMENT) * _ALIGNMENT
