"""Worker processes that start clean and do not outlive their parent.

They are spawned and never forked: JAX's threads in the parent may hold locks.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence

CONTEXT = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def starting() -> Iterator[None]:
  """To start processes in: Ctrl-C is not for them, nor the script they are of.

  Without the latter a worker would import the script, and JAX with it.
  """
  main = sys.modules["__main__"]
  sys.modules["__main__"] = types.ModuleType("__main__")
  try:
    with _interrupts_ignored():
      yield
  finally:
    sys.modules["__main__"] = main


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
  if threading.current_thread() is not threading.main_thread():
    yield  # only the main thread may set handlers, and only it gets Ctrl-C
    return
  handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, handler)


def stay_until_parent_ends(
  ignored: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
) -> None:
  """For a worker to call first: signals to the group are the parent's matter.

  A scheduler's SIGTERM reaches all processes, and the parent may still want to
  save. When the parent is gone, however it went, the worker ends at once.

  Args:
    ignored: without SIGTERM for a parent that ends its workers by it.
  """
  for one in ignored:
    signal.signal(one, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  parent = multiprocessing.parent_process()
  assert parent is not None
  parent.join()
  os._exit(1)
