"""Processes that work through episodes, and how they end.

A worker is a fresh interpreter (spawned, so that no lock or GL context is
inherited). It ends with its parent, however the parent ends, and leaves no
half-written file when it is asked to stop.
"""

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import process
from typing import Any, Protocol, runtime_checkable

from carnet import errors, progress, spawn

_worker: "Worker | None" = None  # of this process


class Stopped(Exception):
  """The work was interrupted."""


@runtime_checkable
class Worker(Protocol):
  """Works on one episode after the other; picklable."""

  def stop_when(self, should_stop: Callable[[], bool]) -> None:
    """Says what to ask between frames; raise Stopped when it is so."""

  def probe(self) -> None:
    """Opens what it needs, so that mistakes show early."""


@runtime_checkable
class Submit(Protocol):
  """Queues a call of a worker's method."""

  def __call__(self, method: str, *arguments: int) -> futures.Future[Any]:
    """Returns the future of `worker.method(*arguments)`."""


def count(workers: int) -> int:
  """Returns the number of workers to use; 0 asks for one per core."""
  if workers:
    return workers
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


@contextlib.contextmanager
def start(worker: Worker, workers: int) -> Iterator[Submit]:
  """Yields `submit`; a single worker runs in this process, at once.

  Raises:
    UserError: a worker died, or says so itself when it is probed.
  """
  try:
    if workers == 1:
      worker.probe()
      yield _inline(worker)
    else:
      with _processes(worker, workers) as submit:
        yield submit
  except process.BrokenProcessPool as error:
    raise errors.UserError(
      "a worker died (out of memory?): run the same command again with fewer "
      "--workers; finished episodes are kept"
    ) from error


def each(
  worker: Worker,
  numbers: Sequence[int],
  is_done: Callable[[int], bool],
  workers: int,
  title: str,
) -> None:
  """Calls `worker.work` of every episode that is not done, with progress.

  Args:
    worker: whose `work` takes the index in `numbers`.
    numbers: of the episodes.
    is_done: says whether an earlier run did an episode, by number.
    workers: processes; 0 is one a core.
    title: of the progress.
  """
  calls = [(index,) for index, x in enumerate(numbers) if not is_done(x)]
  if calls:
    with start(worker, min(count(workers), len(calls))) as submit:
      follow(submit, "work", calls, len(numbers), title)


def follow(
  submit: Submit,
  method: str,
  calls: Sequence[Sequence[int]],
  total: int,
  title: str,
) -> None:
  """Calls a method of the workers again and again, with progress.

  Args:
    submit: as of `start`.
    method: of the worker.
    calls: the arguments of each call.
    total: calls there would be, had none been made by an earlier run.
    title: of the progress.
  """
  done = total - len(calls)
  with progress.bar(title, total, done) as bar:
    for future in _finished(submit, method, calls):
      future.result()
      done += 1
      bar.update(done)


def _finished(
  submit: Submit, method: str, calls: Sequence[Sequence[int]]
) -> Iterator[futures.Future[Any]]:
  running = []
  for arguments in calls:
    future = submit(method, *arguments)
    if future.done():  # of this process, which works at once
      yield future
    else:
      running.append(future)
  yield from futures.as_completed(running)


@contextlib.contextmanager
def _processes(worker: Worker, workers: int) -> Iterator[Submit]:
  # An Event has a lock, which a worker that is killed may hold for ever.
  stop = spawn.CONTEXT.RawValue(ctypes.c_bool, False)
  executor = process.ProcessPoolExecutor(
    workers, spawn.CONTEXT, _initialize, (worker, stop)
  )

  def submit(method: str, *arguments: int) -> futures.Future[Any]:
    # A call may start a worker, which must not see Ctrl-C even while it does.
    with spawn.starting():
      return executor.submit(_call, method, *arguments)

  with executor:
    try:
      for ready in [submit("probe") for _ in range(workers)]:
        ready.result()
      yield submit
    except BaseException:
      stop.value = True
      executor.shutdown(wait=True, cancel_futures=True)
      raise


def _inline(worker: Worker) -> Submit:
  def submit(method: str, *arguments: int) -> futures.Future[Any]:
    future: futures.Future[Any] = futures.Future()
    future.set_result(getattr(worker, method)(*arguments))
    return future

  return submit


def _initialize(worker: Worker, stop: ctypes.c_bool) -> None:
  global _worker
  # not SIGTERM, by which a broken pool ends its workers
  spawn.stay_until_parent_ends((signal.SIGINT,))
  _worker = worker
  _worker.stop_when(lambda: stop.value)


def _call(method: str, *arguments: int) -> Any:
  assert _worker is not None
  return getattr(_worker, method)(*arguments)
