"""The processes that record demonstrations, and how they end.

A worker is a fresh interpreter (spawned, so that no lock or GL context is
inherited). It ends with its parent, however the parent ends, and leaves no
half-written file when it is asked to stop.
"""

import contextlib
import os
import pathlib
import signal
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import process
from multiprocessing import synchronize
from typing import Any, Protocol, runtime_checkable

from act import recording
from carnet import errors, spawn

_recorder: recording.Recorder | None = None  # of this worker process


@runtime_checkable
class Submit(Protocol):
  """Queues a call of a Recorder's method."""

  def __call__(self, method: str, *arguments: int) -> futures.Future[Any]:
    """Returns the future of `Recorder.method(*arguments)`."""


def count(workers: int) -> int:
  """Returns the number of workers to use; 0 asks for one per core."""
  if workers:
    return workers
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


@contextlib.contextmanager
def start(
  simulator: recording.Simulator,
  settings: recording.Settings,
  directory: pathlib.Path,
  workers: int,
) -> Iterator[Submit]:
  """Yields `submit`; a single worker runs in this process, at once."""
  if workers == 1:
    recorder = recording.Recorder(simulator, settings, directory)
    with contextlib.closing(recorder):
      yield _Inline(recorder)
    return
  stop = spawn.CONTEXT.Event()
  executor = process.ProcessPoolExecutor(
    workers, spawn.CONTEXT, _initialize, (simulator, settings, directory, stop)
  )

  def submit(method: str, *arguments: int) -> futures.Future[Any]:
    # A call may start a worker, which must not see Ctrl-C even while it does.
    with spawn.starting():
      return executor.submit(_call, method, *arguments)

  try:
    with executor:
      try:
        for ready in [submit("probe") for _ in range(workers)]:
          ready.result()
        yield submit
      except BaseException:
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)
        raise
  except process.BrokenProcessPool as error:
    raise errors.UserError(
      "a collecting worker died (out of memory?): run the same command again "
      "with fewer --workers; finished episodes are kept"
    ) from error


class _Inline:
  def __init__(self, recorder: recording.Recorder):
    self._recorder = recorder
    recorder.probe()

  def __call__(self, method: str, *arguments: int) -> futures.Future[Any]:
    future: futures.Future[Any] = futures.Future()
    future.set_result(getattr(self._recorder, method)(*arguments))
    return future


def _initialize(
  simulator: recording.Simulator,
  settings: recording.Settings,
  directory: pathlib.Path,
  stop: synchronize.Event,
) -> None:
  global _recorder
  # not SIGTERM, by which a broken pool ends its workers
  spawn.stay_until_parent_ends((signal.SIGINT,))
  _recorder = recording.Recorder(simulator, settings, directory, stop.is_set)


def _call(method: str, *arguments: int) -> Any:
  assert _recorder is not None
  return getattr(_recorder, method)(*arguments)
