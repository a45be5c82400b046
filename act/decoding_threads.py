"""Threads that help the one that asked for pictures to decode them.

They are of the process, one less than it has cores: callers work too, and so
never wait for threads that wait for them.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent import futures


@functools.cache
def count() -> int:
  """Returns how many threads decode at once, the caller's among them."""
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def run(lanes: Sequence[Callable[[], None]]) -> None:
  """Runs them at the same time; the first error of them is raised."""
  mine, others = list(lanes[:1]), []
  for lane in lanes[1:]:
    try:
      others.append(_helpers().submit(lane))
    except RuntimeError:  # the interpreter is about to end
      mine.append(lane)
  try:
    for lane in mine:
      lane()
  finally:
    futures.wait(others)  # they write into the caller's arrays
  for other in others:
    other.result()


@functools.cache
def _helpers() -> futures.ThreadPoolExecutor:
  return futures.ThreadPoolExecutor(max(1, count() - 1), "decode")


if hasattr(os, "register_at_fork"):
  # a child has none of the threads of its parent
  os.register_at_fork(after_in_child=_helpers.cache_clear)
