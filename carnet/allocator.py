"""Keeps freed memory in the process: fresh pages are dear on a CPU.

XLA allocates the temporary memory of every run anew. glibc gives blocks of that
size back to the system, which has to clear each page again: a fifth of a small
training step on 2 cores, and more the larger the network.
"""

import ctypes
import sys

# malloc.h of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def keep_freed_memory() -> bool:
  """Tells glibc so, for this process; returns False where there is no glibc.

  Call it before the first computation. The process then never shrinks below its
  largest size so far.
  """
  if not sys.platform.startswith("linux"):
    return False
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (OSError, AttributeError):  # another C library
    return False
  settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_ARENA_MAX, 1))
  return all([mallopt(name, value) == 1 for name, value in settings])
