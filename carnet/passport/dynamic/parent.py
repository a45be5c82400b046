"""The end of a process whose parent has ended, however that was killed.

The parent reads what this process writes to standard error. Once nobody can,
the system tells it of the pipe, also of one that broke before it was asked.
"""

import os
import select
import sys
import threading


def follow() -> None:
  """Ends this process as soon as nobody reads its standard error any more.

  A file or a null device has no reader and ends nothing.
  """
  descriptor = sys.stderr.fileno()
  threading.Thread(target=_wait, args=(descriptor,), daemon=True).start()


def _wait(descriptor: int) -> None:
  watched = select.poll()
  watched.register(descriptor, 0)  # errors and hang-ups are always told
  while not watched.poll():
    pass
  os._exit(1)  # whatever the other threads compute
