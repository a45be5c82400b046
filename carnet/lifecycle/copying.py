"""Copies a checkpoint: plain files only, on the disk before it has a name."""

import contextlib
import os
import pathlib
import shutil
import stat
from collections.abc import Callable, Iterator

from carnet import errors
from carnet.passport import plain_tree, shown

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20
_MODE = 0o444  # nobody edits what was promoted


def copy(
  source: pathlib.Path,
  parent: int,
  name: str,
  check: Callable[[str], None],
) -> None:
  """Copies a checkpoint to `name` in the directory with descriptor `parent`.

  Args:
    source: a step directory; what lies beside it stays there.
    parent: of the copy.
    name: of the copy, which nothing has yet.
    check: is given the name of the finished copy before it becomes `name`, and
      raises UserError to have it removed.

  Raises:
    UserError: links or devices in it, a full disk; nothing is left of the copy.
  """
  working = f".{name}.writing"
  try:
    _copy_files(source, parent, working)
    check(working)
    os.rename(working, name, src_dir_fd=parent, dst_dir_fd=parent)
    os.fsync(parent)
  except (OSError, errors.UserError) as error:
    shutil.rmtree(working, ignore_errors=True, dir_fd=parent)
    if isinstance(error, errors.UserError):
      raise
    raise errors.UserError(
      f"{source} cannot be copied: {error.strerror}"
    ) from error


def _copy_files(source: pathlib.Path, parent: int, working: str) -> None:
  with plain_tree.opened(source) as root, contextlib.ExitStack() as stack:
    files, faults = plain_tree.listing(root)
    for path, fault in sorted(faults.items()):
      raise errors.UserError(f"{source}: {shown.cut(path)} {fault}")
    os.mkdir(working, dir_fd=parent)
    target = os.open(working, _FOLDER, dir_fd=parent)
    stack.callback(os.close, target)
    for folder in sorted(_folders(files)):
      os.mkdir(folder, dir_fd=target)
    for path in sorted(files):
      _copy_file(root, target, path)
    for folder in ["", *_folders(files)]:
      with _opened(target, folder, _FOLDER) as descriptor:
        os.fsync(descriptor)


def _folders(files: set[str]) -> set[str]:
  """Returns all directories of files, those within directories included."""
  found = set()
  for path in files:
    for parent in pathlib.PurePosixPath(path).parents:
      found.add(str(parent))
  return found - {"."}


def _copy_file(source: int, target: int, path: str) -> None:
  with _opened(source, path, _READ) as descriptor:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
      raise errors.UserError(f"{shown.cut(path)} is no plain file any more")
    with (
      open(descriptor, "rb", closefd=False) as read,
      open(os.open(path, _NEW, _MODE, dir_fd=target), "wb") as written,
    ):
      shutil.copyfileobj(read, written, _BLOCK)
      written.flush()
      os.fsync(written.fileno())


@contextlib.contextmanager
def _opened(root: int, path: str, how: int) -> Iterator[int]:
  """Yields a descriptor of what lies at `path`; no link on the way."""
  descriptor = os.dup(root)
  *above, last = path.split("/") if path else ["."]
  try:
    for name, flags in [*((x, _FOLDER) for x in above), (last, how)]:
      inner = os.open(name, flags, dir_fd=descriptor)
      os.close(descriptor)
      descriptor = inner
    yield descriptor
  finally:
    os.close(descriptor)
