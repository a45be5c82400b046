"""Stop a training loop between two steps, so that it can save first.

```
with signals.graceful() as stop:
  for step in range(start, total):
    ...
    if stop:
      checkpoint.save(step + 1)
      break
```
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
  """True once a signal asked the program to stop; `name` says which."""

  name: str = ""

  def __bool__(self) -> bool:
    return bool(self.name)


@contextlib.contextmanager
def graceful() -> Iterator[Stop]:
  """Notes the first SIGTERM or SIGINT; the next one acts as it used to.

  Signals reach the main thread alone; elsewhere nothing is ever noted.
  """
  stop = Stop()
  if threading.current_thread() is not threading.main_thread():
    yield stop
    return
  previous = {number: signal.getsignal(number) for number in _SIGNALS}

  def restore() -> None:
    for number, handler in previous.items():
      signal.signal(number, handler)

  def note(number: int, frame: Any) -> None:
    del frame
    stop.name = signal.Signals(number).name
    restore()

  for number in _SIGNALS:
    signal.signal(number, note)
  try:
    yield stop
  finally:
    restore()
