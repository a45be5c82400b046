"""SIGTERM and SIGHUP end a command as Ctrl-C does: it cleans up first."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
  """Somebody else's Ctrl-C: a scheduler, or a terminal that was closed."""

  def __init__(self, number: int) -> None:
    super().__init__(signal.Signals(number).name)
    self.number = number


def exit_code(stop: KeyboardInterrupt) -> int:
  """Returns the exit code of a shell for what a signal ended."""
  number = stop.number if isinstance(stop, Ended) else signal.SIGINT
  return 128 + int(number)


@contextlib.contextmanager
def heeded() -> Iterator[None]:
  """Raises `Ended` at the first of the signals, and heeds no second one.

  One that is ignored, as under nohup, stays so. Signals reach the main thread
  alone; elsewhere nothing is changed.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  taken = [x for x in _SIGNALS if signal.getsignal(x) is signal.SIG_DFL]

  def stop(number: int, frame: FrameType | None) -> None:
    del frame
    for each in taken:
      signal.signal(each, signal.SIG_IGN)
    raise Ended(number)

  for each in taken:
    signal.signal(each, stop)
  try:
    yield
  finally:
    for each in taken:
      signal.signal(each, signal.SIG_DFL)
