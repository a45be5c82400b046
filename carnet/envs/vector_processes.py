"""Where the environments of a `Vector` live: here, or in worker processes."""

import contextlib
import itertools
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing import reduction, util
from multiprocessing.context import SpawnProcess
from typing import Protocol, runtime_checkable

from carnet import errors, spawn
from carnet.envs import base, vector_buffers, vector_group, vector_worker

_START_SECONDS = 300.0  # imports of a simulator on a busy machine
_CLOSE_SECONDS = 5.0


@runtime_checkable
class Backend(Protocol):
  """Steps environments; of one that failed, a new one is made when next used.

  Attributes:
    spaces: of one environment.
    buffers: of all.
  """

  spaces: vector_buffers.Spaces
  buffers: vector_buffers.Buffers

  def advance(self, members: Iterable[int]) -> list[vector_group.Failure]:
    """Steps or resets these environments, as the buffers say."""

  def replay(
    self, episodes: Mapping[int, vector_group.Episode]
  ) -> list[vector_group.Failure]:
    """Brings every environment to where its episode was."""

  def close(self) -> None:
    """Closes all environments."""


class Here:
  """All environments in this process."""

  def __init__(self, make: Callable[[], base.Env], count: int) -> None:
    try:
      self._group = vector_group.Group(make, 0, count)
    except errors.UserError:
      raise
    except Exception as error:
      raise _not_made(vector_group.failure((), error)) from error
    self.spaces = self._group.spaces
    memory = bytearray(vector_buffers.size_bytes(self.spaces, count))
    self.buffers = vector_buffers.over(memory, self.spaces, count)
    self._group.attach(self.buffers)

  def advance(self, members: Iterable[int]) -> list[vector_group.Failure]:
    """Steps or resets these environments, as the buffers say."""
    return self._group.advance(members)

  def replay(
    self, episodes: Mapping[int, vector_group.Episode]
  ) -> list[vector_group.Failure]:
    """Brings every environment to where its episode was."""
    failures = []
    for i, episode in episodes.items():
      failures += self._group.replay(i, episode)
    return failures

  def close(self) -> None:
    """Closes all environments."""
    self._group.close()


class Processes:
  """The environments shared out over processes that step at the same time.

  Raises:
    UserError: an environment cannot be made.
  """

  def __init__(
    self,
    make: Callable[[], base.Env],
    count: int,
    processes: int,
    timeout: int | float,
  ) -> None:
    pickled, used = _pickled(make), min(processes, count)
    bounds = [count * i // used for i in range(used + 1)]
    self._workers = [
      _Worker(pickled, range(*pair), count, timeout)
      for pair in itertools.pairwise(bounds)
    ]
    # Before multiprocessing waits for processes that no longer heed SIGTERM.
    self._kill = util.Finalize(
      self, _kill_all, (self._workers,), exitpriority=100
    )
    try:
      for worker in self._workers:
        worker.start()
      for worker in self._workers:
        self.spaces: vector_buffers.Spaces = worker.made()
      size = vector_buffers.size_bytes(self.spaces, count)
      self._descriptor, memory = vector_buffers.share(size)
      self.buffers = vector_buffers.over(memory, self.spaces, count)
      for worker in self._workers:
        worker.attach(self._descriptor)
    except BaseException:
      self._kill()
      raise

  def advance(self, members: Iterable[int]) -> list[vector_group.Failure]:
    """Steps or resets these environments, and others of their processes."""
    wanted = set(members)
    used = [w for w in self._workers if not wanted.isdisjoint(w.members)]
    for worker in used:
      worker.tell(("advance", None))
    return _collect(used)

  def replay(
    self, episodes: Mapping[int, vector_group.Episode]
  ) -> list[vector_group.Failure]:
    """Brings every environment to where its episode was."""
    for worker in self._workers:
      own = {i: episodes[i] for i in worker.members}
      worker.tell(("replay", own))
    return _collect(self._workers)

  def close(self) -> None:
    """Lets the processes close their environments, and ends them."""
    for worker in self._workers:
      worker.say_goodbye()
    for worker in self._workers:
      worker.kill(_CLOSE_SECONDS)
    self._kill()
    with contextlib.suppress(OSError):
      os.close(self._descriptor)


class _Worker:
  """A process, started anew when it is next needed after it has failed."""

  def __init__(
    self, make: bytes, members: range, count: int, timeout: int | float
  ) -> None:
    self.members = members
    self._make, self._count, self._timeout = make, count, timeout
    self._process: SpawnProcess | None = None
    self._descriptor = -1
    self._waited_for = False

  def start(self) -> None:
    self._pipe, theirs = spawn.CONTEXT.Pipe()
    self._process = spawn.CONTEXT.Process(
      target=vector_worker.main,
      args=(theirs, self._make, self.members),
      daemon=True,
      name=f"environments {_named(self.members)}",
    )
    with spawn.starting():
      self._process.start()
    theirs.close()
    self._limit = max(self._timeout, _START_SECONDS)

  def made(self) -> vector_buffers.Spaces:
    """Returns the spaces once the environments are made."""
    kind, payload = self._receive("ready")
    if kind == "failed":
      raise _not_made(payload)
    if kind == "refused":
      raise errors.UserError(payload)
    return payload

  def attach(self, descriptor: int) -> None:
    self._descriptor = descriptor
    with contextlib.suppress(OSError):  # it has died: `answer` will tell
      self._pipe.send(("attach", self._count))
      assert self._process is not None
      assert self._process.pid is not None
      reduction.send_handle(self._pipe, descriptor, self._process.pid)

  def tell(self, message: vector_worker.Message) -> None:
    if self._waited_for:  # its answer would be taken for the next one
      self.kill()
    if self._process is None:
      self.start()
      self.attach(self._descriptor)
    self._waited_for = True
    with contextlib.suppress(OSError):
      self._pipe.send(message)

  def answer(self) -> vector_worker.Message:
    """Returns "done", "refused" or "failed", then without the process."""
    message = self._receive("done")
    self._waited_for = False
    if message[0] == "failed":
      self.kill()
    return message

  def say_goodbye(self) -> None:
    if self._process is None or self._waited_for:
      return
    with contextlib.suppress(OSError):
      self._pipe.send(("close", None))

  def kill(self, patience: float = 0.0) -> None:
    process, self._process = self._process, None
    self._waited_for = False
    if process is not None:
      process.join(patience)
      process.kill()
      process.join(_CLOSE_SECONDS)
      self._pipe.close()

  def _receive(self, wanted: str) -> vector_worker.Message:
    try:
      while self._pipe.poll(self._limit):
        kind, payload = self._pipe.recv()
        self._limit = self._timeout if kind == "attached" else self._limit
        if kind in (wanted, "refused", "failed"):
          return kind, payload
      reason = f"no answer for {self._limit:g} seconds"
    except (EOFError, OSError):
      reason = self._ended()
    return "failed", vector_group.Failure(tuple(self.members), reason, "")

  def _ended(self) -> str:
    assert self._process is not None
    self._process.join(_CLOSE_SECONDS)
    code = self._process.exitcode
    if code is not None and code < 0:
      name = signal.Signals(-code).name
      hint = " (out of memory?)" if name == "SIGKILL" else ""
      return f"the process was ended by {name}{hint}"
    return f"the process ended with exit code {code}"


def _collect(workers: Sequence[_Worker]) -> list[vector_group.Failure]:
  answers = [worker.answer() for worker in workers]
  for kind, payload in answers:
    if kind == "refused":
      raise errors.UserError(payload)
  return [payload for kind, payload in answers if kind == "failed"]


def _kill_all(workers: Sequence[_Worker]) -> None:
  for worker in workers:
    worker.kill()


def _pickled(make: Callable[[], base.Env]) -> bytes:
  try:
    with spawn.starting():
      return pickle.dumps(make)
  except (pickle.PicklingError, AttributeError, TypeError) as error:
    raise errors.UserError(
      f"environments in processes need a `make` that can be pickled ({error}): "
      "give a function of a module other than the script, or a "
      "functools.partial of one; or set processes=0"
    ) from error


def _not_made(failure: vector_group.Failure) -> errors.UserError:
  error = errors.UserError(f"the environment cannot be made: {failure.reason}")
  if failure.trace:
    error.add_note(failure.trace)
  return error


def _named(members: Sequence[int]) -> str:
  first, last = members[0], members[-1]
  return f"{first}" if first == last else f"{first}-{last}"
