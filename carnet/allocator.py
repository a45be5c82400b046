"""Keeps freed memory in the process: fresh pages are dear on a CPU.

XLA allocates the temporary memory of every run anew. glibc gives blocks of that
size back to the system, which has to clear each page again: a fifth of a small
training step on 2 cores, and more the larger the network.
"""

import ctypes
import sys

# malloc.h of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8

# A block of this size or more still goes back: aligned blocks seldom fit where
# the last one was, so the process would hold several of them. The default
# network's step would hold 5 to 9 GiB instead of 3.3, and be a tenth faster.
LARGEST_KEPT_BYTES = 2**30


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
  # glibc before 2.35 takes no such threshold, and would go by its own
  raised = mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
  raised = raised or mallopt(_M_MMAP_MAX, 0)
  kept = mallopt(_M_TRIM_THRESHOLD, -1) == 1
  return bool(mallopt(_M_ARENA_MAX, 1) == 1 and kept and raised)
