"""What a process of environments does; it imports no JAX.

It is told `(command, payload)` and answers `(kind, payload)`: "ready" with the
spaces, "attached", "done", "alive" meanwhile, "refused" with the text of a
`UserError`, or "failed" with a `Failure`, after which it ends.
"""

import contextlib
import mmap
import os
import pickle
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection, reduction
from typing import Any

from carnet import errors, spawn
from carnet.envs import vector_buffers, vector_group

_ALIVE_SECONDS = 1.0
Message = tuple[str, Any]


def main(
  pipe: connection.Connection, make: bytes, members: Sequence[int]
) -> None:
  """Makes the environments and obeys until told to close, or the pipe closes.

  Args:
    pipe: to the parent.
    make: pickled.
    members: consecutive numbers of environments.
  """
  spawn.stay_until_parent_ends()
  os.environ["JAX_PLATFORMS"] = "cpu"  # the accelerator is the parent's
  with contextlib.suppress(EOFError, OSError):  # the parent wants no more
    _Server(pipe, members).serve(make)
  os._exit(0)  # threads that an environment leaves behind cannot hold it


class _Server:
  def __init__(
    self, pipe: connection.Connection, members: Sequence[int]
  ) -> None:
    self._pipe, self._members = pipe, members
    self._group: vector_group.Group | None = None
    self._said_alive = time.monotonic()

  def serve(self, make: bytes) -> None:
    self._answer(lambda: self._make(make))
    while self._group is not None:
      command, payload = self._pipe.recv()
      if command == "close":
        self._group.close()
        return
      self._answer(lambda: self._obey(command, payload))  # noqa: B023

  def _answer(self, act: Callable[[], Message]) -> None:
    try:
      kind, payload = act()
    except errors.UserError as error:
      kind, payload = "refused", str(error)
    except Exception as error:
      kind, payload = "failed", vector_group.failure(self._members, error)
    if kind == "failed":
      self._group = None
    self._pipe.send((kind, payload))

  def _make(self, make: bytes) -> Message:
    members = self._members
    group = vector_group.Group(pickle.loads(make), members[0], len(members))
    self._group = group
    return "ready", group.spaces

  def _obey(self, command: str, payload: Any) -> Message:
    assert self._group is not None
    if command == "attach":
      self._group.attach(self._map(self._group.spaces, payload))
      return "attached", None
    if command == "replay":
      failures = []
      for i in self._members:
        failures += self._group.replay(i, payload[i], self._alive)
    else:
      failures = self._group.advance(self._members)
    if not failures:
      return "done", None
    # The process is replaced, and all that live in it with it.
    first = failures[0]
    return "failed", vector_group.Failure(
      tuple(self._members), first.reason, first.trace
    )

  def _map(
    self, spaces: vector_buffers.Spaces, count: int
  ) -> vector_buffers.Buffers:
    descriptor = reduction.recv_handle(self._pipe)
    size = vector_buffers.size_bytes(spaces, count)
    memory = mmap.mmap(descriptor, size)
    os.close(descriptor)
    return vector_buffers.over(memory, spaces, count)

  def _alive(self) -> None:
    if time.monotonic() - self._said_alive > _ALIVE_SECONDS:
      self._said_alive = time.monotonic()
      self._pipe.send(("alive", None))
