"""The plain files below a directory; links and devices are never followed.

Everything is opened from a descriptor of the directory, name by name, so that
no exchange of a name for a link leads out of it.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import stat
from collections.abc import Iterator

from carnet import errors, paths

LINK = "is a link"
_DEEPEST = 64  # directories within each other


@contextlib.contextmanager
def opened(directory: pathlib.Path) -> Iterator[int]:
  """Yields a descriptor of the directory, which stays what it was.

  Raises:
    UserError: it is no directory that can be read.
  """
  try:
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
  except OSError as error:
    raise errors.UserError(
      f"{directory} is no readable directory: {error.strerror}"
    ) from error
  try:
    yield root
  finally:
    os.close(root)


def listing(root: int) -> tuple[set[str], dict[str, str]]:
  """Returns the paths of all plain files, and what is wrong with other paths.

  Empty directories count as nothing.
  """
  files: set[str] = set()
  faults: dict[str, str] = {}
  waiting = [""]
  while waiting:
    parent = waiting.pop()
    try:
      _list(root, parent, files, faults, waiting)
    except OSError as error:
      faults[parent or "."] = f"is unreadable: {error.strerror}"
  return files, faults


def sha256(root: int, path: str) -> str:
  """Returns the digest of a plain file's content.

  Raises:
    OSError: it is not there, not readable, or not a plain file any more.
  """
  with reading(root, path) as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def reading(root: int, path: str) -> Iterator[io.BufferedReader]:
  """Yields a plain file, open for reading; OSError as `sha256`."""
  with open(_open(root, path, os.O_NONBLOCK), "rb") as file:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
      raise OSError(0, "it is not a plain file")
    yield file


def _list(
  root: int,
  parent: str,
  files: set[str],
  faults: dict[str, str],
  waiting: list[str],
) -> None:
  """Sorts what lies in one directory into the three."""
  if parent.count("/") >= _DEEPEST:
    faults[parent] = f"is nested in more than {_DEEPEST} directories"
    return
  descriptor = _open(root, parent, os.O_DIRECTORY)
  try:
    with os.scandir(descriptor) as entries:
      for entry in entries:
        path = paths.join(parent, entry.name)
        if entry.is_symlink():
          faults[path] = LINK
        elif entry.is_dir(follow_symlinks=False):
          waiting.append(path)
        elif entry.is_file(follow_symlinks=False):
          files.add(path)
        else:
          faults[path] = "is not a plain file"
  finally:
    os.close(descriptor)


def _open(root: int, path: str, flags: int) -> int:
  """Returns a descriptor of what lies at `path`, for reading."""
  descriptor = os.dup(root)
  names = path.split("/") if path else ["."]
  for index, name in enumerate(names):
    last = index == len(names) - 1
    how = flags if last else os.O_DIRECTORY
    try:
      inner = os.open(
        name, os.O_RDONLY | os.O_NOFOLLOW | how, dir_fd=descriptor
      )
    finally:
      os.close(descriptor)
    descriptor = inner
  return descriptor
