"""Processes that work through the episodes of a recording, and how they end.

A worker is a fresh interpreter. It ends with its parent, however the parent
ends, and leaves no half-written file when it is asked to stop.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import process
from multiprocessing import synchronize
from typing import Any, Protocol, runtime_checkable

from act import collection_workers
from carnet import errors, progress, spawn

count = collection_workers.count
_worker: "Worker | None" = None  # of this process


class Stopped(Exception):
  """The work was interrupted."""


@runtime_checkable
class Worker(Protocol):
  """Works on one episode after the other; picklable."""

  def stop_when(self, should_stop: Callable[[], bool]) -> None:
    """Says what to ask between frames."""

  def probe(self) -> None:
    """Opens what it needs, so that mistakes show early."""

  def work(self, index: int) -> Any:
    """Returns the result of one episode; raises Stopped when it should."""


@runtime_checkable
class Submit(Protocol):
  """Queues the work on one episode."""

  def __call__(self, index: int) -> futures.Future[Any]:
    """Returns the future of `Worker.work(index)`."""


@contextlib.contextmanager
def start(worker: Worker, workers: int) -> Iterator[Submit]:
  """Yields `submit`; a single worker runs in this process, at once.

  Raises:
    UserError: a worker died.
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
  """Works on every episode that is not done, with progress.

  Args:
    worker: works on index i of the recording.
    numbers: of the episodes, by index.
    is_done: says whether an earlier run did an episode, by number.
    workers: processes; 0 is one a core.
    title: of the progress.
  """
  missing = [index for index, x in enumerate(numbers) if not is_done(x)]
  if not missing:
    return
  done = len(numbers) - len(missing)
  with (
    start(worker, min(count(workers), len(missing))) as submit,
    progress.bar(title, len(numbers), done) as bar,
  ):
    for future in _finished(submit, missing):
      future.result()
      done += 1
      bar.update(done)


def _finished(
  submit: Submit, indices: Sequence[int]
) -> Iterator[futures.Future[Any]]:
  running = []
  for index in indices:
    future = submit(index)
    if future.done():  # of this process, which works at once
      yield future
    else:
      running.append(future)
  yield from futures.as_completed(running)


@contextlib.contextmanager
def _processes(worker: Worker, workers: int) -> Iterator[Submit]:
  stop = spawn.CONTEXT.Event()
  executor = process.ProcessPoolExecutor(
    workers, spawn.CONTEXT, _initialize, (worker, stop)
  )

  def submit(index: int) -> futures.Future[Any]:
    # A call may start a worker, which must not see Ctrl-C even while it does.
    with spawn.starting():
      return executor.submit(_work, index)

  with executor:
    try:
      yield submit
    except BaseException:
      stop.set()
      executor.shutdown(wait=True, cancel_futures=True)
      raise


def _inline(worker: Worker) -> Submit:
  def submit(index: int) -> futures.Future[Any]:
    future: futures.Future[Any] = futures.Future()
    future.set_result(worker.work(index))
    return future

  return submit


def _initialize(worker: Worker, stop: synchronize.Event) -> None:
  global _worker
  # not SIGTERM, by which a broken pool ends its workers
  spawn.stay_until_parent_ends((signal.SIGINT,))
  _worker = worker
  _worker.stop_when(stop.is_set)


def _work(index: int) -> Any:
  assert _worker is not None
  return _worker.work(index)
