"""Small files of a checkpoint: what only looks like one is not opened."""

import errno
import os
import pathlib
import stat

from carnet.checkpoint import documents, faults


def read(
  path: pathlib.Path, largest_bytes: int = documents.LARGEST_BYTES
) -> bytes:
  """Returns the content of a plain file, without waiting or following links.

  Raises:
    CorruptError: it is not there, too large, a link, a pipe or a device.
  """
  try:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
      return _content(path, descriptor, largest_bytes)
    finally:
      os.close(descriptor)
  except OSError as error:
    reason = error.strerror or str(error)
    if error.errno == errno.ELOOP:
      reason = "it is a link"
    raise faults.CorruptError(f"{path} is unreadable: {reason}") from error


def _content(path: pathlib.Path, descriptor: int, largest_bytes: int) -> bytes:
  status = os.fstat(descriptor)
  if not stat.S_ISREG(status.st_mode):
    raise faults.CorruptError(f"{path} is not a plain file")
  if status.st_size > largest_bytes:
    raise faults.CorruptError(
      f"{path} has {status.st_size} bytes: at most {largest_bytes} are read"
    )
  with open(descriptor, "rb", closefd=False) as file:
    return file.read(status.st_size)
