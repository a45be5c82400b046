"""Writing papers into a checkpoint: one process at a time, all or nothing.

What a killed process left has a name of its own. The next one puts back what
it had taken away, and sweeps the rest.
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
from carnet.checkpoint import directory
from carnet.passport import context, plain_tree, writing

ASSETS = ("assets/reference_frames", "assets/reference_test_vector")
_OLD = "old"  # what was issued before, while it is exchanged
_NAMES = "|".join(map(re.escape, (*context.PAPERS, "assets")))
_LEFTOVER = re.compile(rf"\.({_NAMES})\.[0-9]+\.writing")


@contextlib.contextmanager
def held(path: pathlib.Path) -> Iterator[None]:
  """Holds the right to write papers there, and mends what others left.

  The lock is on the directory itself: it needs no file, and ends with the
  process.

  Raises:
    UserError: another process has the right, a paper cannot be replaced, or
      what was left cannot be put back or removed.
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
    _recover(path)
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


def kept(path: pathlib.Path) -> pathlib.Path | None:
  """Returns where a killed process left the passport, None if there is one."""
  if os.path.lexists(path / directory.PASSPORT):
    return None
  places = (old / directory.PASSPORT for old in _unfinished(path))
  return next((place for place in places if place.is_file()), None)


@contextlib.contextmanager
def exchanged(path: pathlib.Path, fresh: pathlib.Path) -> Iterator[None]:
  """Puts reference data below `fresh` in the place of what was issued before.

  All papers are taken away; the passport is to be written within, and is the
  last. If that fails, everything is as it was; so it is once `held` is entered
  again where the process was killed.

  Raises:
    UserError: it cannot be written.
  """
  working = writing.working_name(path / "assets")
  swapped = False
  try:
    try:
      _copy(fresh, working / "new")
      _swap(path, working)
    except OSError as error:
      raise writing.refusal(path, error) from error
    swapped = True
    yield
  except BaseException:  # also Ctrl-C
    if swapped:
      (path / directory.PASSPORT).unlink(missing_ok=True)
    _put_back(path, working / _OLD)
    shutil.rmtree(working, ignore_errors=True)
    raise
  shutil.rmtree(working, ignore_errors=True)


def is_exchanged(name: str) -> bool:
  """Tells whether a path in a checkpoint is one of the reference data."""
  return any(f"{name}/".startswith(f"{folder}/") for folder in ASSETS)


def _copy(fresh: pathlib.Path, place: pathlib.Path) -> None:
  place.mkdir(parents=True)
  for name in ASSETS:
    if (fresh / name).is_dir():
      shutil.copytree(fresh / name, place / name)


def _swap(path: pathlib.Path, working: pathlib.Path) -> None:
  """Exchanges; the passport goes first, so that its absence tells of it."""
  for name in (*context.PAPERS, *ASSETS):
    if os.path.lexists(path / name):
      _move(path / name, working / _OLD / name)
    elif name in ASSETS:  # an empty folder says that there was none
      (working / _OLD / name).mkdir(parents=True)
  for name in ASSETS:
    if (working / "new" / name).is_dir():
      _move(working / "new" / name, path / name)


def _move(source: pathlib.Path, place: pathlib.Path) -> None:
  place.parent.mkdir(parents=True, exist_ok=True)
  os.rename(source, place)


def _recover(path: pathlib.Path) -> None:
  """Undoes what a killed process began to exchange; the passport tells."""
  for old in _unfinished(path):
    if not os.path.lexists(path / directory.PASSPORT):
      _put_back(path, old)


def _unfinished(path: pathlib.Path) -> list[pathlib.Path]:
  """Returns what killed processes took away, first what has a passport.

  A link is none of it: nothing is moved out of another directory.
  """
  found = [
    place / _OLD
    for place in path.glob(".assets.*")
    if _LEFTOVER.fullmatch(place.name)
  ]
  sound = [
    old
    for old in found
    if old.is_dir() and _is_real(old) and _is_real(old / "assets")
  ]
  return sorted(sound, key=lambda old: not (old / directory.PASSPORT).exists())


def _is_real(place: pathlib.Path) -> bool:
  """Tells whether neither a path nor the folder that it is in is a link."""
  return not (place.is_symlink() or place.parent.is_symlink())


def _put_back(path: pathlib.Path, old: pathlib.Path) -> None:
  """Puts everything back that was taken away, the passport last.

  Raises:
    UserError: it cannot be done; what is not yet back stays in `old`.
  """
  try:
    if (path / "assets").is_symlink():
      raise OSError(0, "assets is a link")
    for name in reversed((*context.PAPERS, *ASSETS)):
      if os.path.lexists(old / name):
        _back(path / name, old / name)
  except OSError as error:
    raise errors.UserError(
      f"cannot put back what was issued before, which lies in {old}: "
      f"{writing.reason(error)}"
    ) from error


def _back(place: pathlib.Path, old: pathlib.Path) -> None:
  _remove(place)
  try:
    old.rmdir()
  except OSError:
    _move(old, place)
    return
  with contextlib.suppress(OSError):  # a folder that was made for it
    place.parent.rmdir()


def _remove(place: pathlib.Path) -> None:
  if place.is_dir() and not place.is_symlink():
    shutil.rmtree(place)
  else:
    place.unlink(missing_ok=True)


def _sweep(path: pathlib.Path) -> None:
  for place in path.iterdir():
    if not _LEFTOVER.fullmatch(place.name):
      continue
    try:
      _remove(place)
    except OSError as error:
      raise errors.UserError(
        f"cannot remove {place}, which a killed process left: "
        f"{writing.reason(error)}"
      ) from error
