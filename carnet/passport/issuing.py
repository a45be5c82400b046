"""Writing papers into a checkpoint: one process at a time, all or nothing.

What a killed process left has a name of its own, and the next one sweeps it.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import stat
from collections.abc import Iterator

from carnet import errors
from carnet.passport import context, plain_tree, writing

ASSETS = ("assets/reference_frames", "assets/reference_test_vector")
_NAMES = "|".join(map(re.escape, (*context.PAPERS, "assets")))
_LEFTOVER = re.compile(rf"\.({_NAMES})\.[0-9]+\.writing")


@contextlib.contextmanager
def held(path: pathlib.Path) -> Iterator[None]:
  """Holds the right to write papers there, and sweeps what others left.

  The lock is on the directory itself: it needs no file, and ends with the
  process.

  Raises:
    UserError: another process has the right, or a paper cannot be replaced.
  """
  with plain_tree.opened(path) as root:
    try:
      fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise errors.UserError(
        f"{path} is being written by another generate-passport or "
        "sign-checkpoint: wait for it to end"
      ) from error
    except OSError:
      pass  # some network file systems lock no directory
    check(path)
    _sweep(path)
    yield


def check(path: pathlib.Path) -> None:
  """Refuses a directory in the place of a paper, which nothing replaces."""
  for name in context.PAPERS:
    place = path / name
    if os.path.lexists(place) and stat.S_ISDIR(os.lstat(place).st_mode):
      raise errors.UserError(f"{place} is a directory: move it away")


def is_leftover(name: str) -> bool:
  """Tells whether a path in a checkpoint is what a killed process left."""
  return bool(_LEFTOVER.fullmatch(name.partition("/")[0]))


@contextlib.contextmanager
def exchanged(path: pathlib.Path, fresh: pathlib.Path) -> Iterator[None]:
  """Puts reference data below `fresh` in the place of what was issued before.

  All papers are taken away; the passport is to be written within. If that
  fails, everything is as it was.

  Raises:
    UserError: it cannot be written.
  """
  working = writing.working_name(path / "assets")
  try:
    with contextlib.ExitStack() as undo:
      try:
        _copy(fresh, working / "new")
        _swap(path, working, undo)
      except OSError as error:
        raise writing.refusal(path, error) from error
      yield
      undo.pop_all()
  finally:
    shutil.rmtree(working, ignore_errors=True)


def _copy(fresh: pathlib.Path, place: pathlib.Path) -> None:
  place.mkdir(parents=True)
  for name in ASSETS:
    if (fresh / name).is_dir():
      shutil.copytree(fresh / name, place / name)


def _swap(
  path: pathlib.Path, working: pathlib.Path, undo: contextlib.ExitStack
) -> None:
  for name in (*context.PAPERS, *ASSETS):
    if os.path.lexists(path / name):
      _move(path / name, working / "old" / name)
      undo.callback(_move, working / "old" / name, path / name)
  undo.callback((path / context.PAPERS[0]).unlink, missing_ok=True)
  for name in ASSETS:
    if (working / "new" / name).is_dir():
      undo.callback(_remove, path, name)
      _move(working / "new" / name, path / name)


def _move(source: pathlib.Path, place: pathlib.Path) -> None:
  place.parent.mkdir(parents=True, exist_ok=True)
  os.rename(source, place)


def _remove(path: pathlib.Path, name: str) -> None:
  """Removes reference data, and the folder of a kind that was made for it."""
  shutil.rmtree(path / name, ignore_errors=True)
  with contextlib.suppress(OSError):
    (path / name).parent.rmdir()


def _sweep(path: pathlib.Path) -> None:
  for place in path.iterdir():
    if not _LEFTOVER.fullmatch(place.name):
      continue
    try:
      if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
      else:
        place.unlink()
    except OSError as error:
      raise errors.UserError(
        f"cannot remove {place}, which a killed process left: "
        f"{writing.reason(error)}"
      ) from error
