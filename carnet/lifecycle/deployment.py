"""The directory that a robot reads: checkpoints, `current`, and the history.

    DEPLOYMENT/
      checkpoints/3f9c2b6a01d4e5f7-48000/   copies, never changed
      current -> checkpoints/3f9c2b6a01d4e5f7-48000
      history.jsonl

Everything is reached from a descriptor of the directory, so that nobody leads
out of it with a link. A switch is one rename: `current` is the old one or the
new one, at every moment.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

from carnet import errors
from carnet.checkpoint import directory
from carnet.lifecycle import history as history_lib
from carnet.lifecycle import records
from carnet.passport import shown

CHECKPOINTS = "checkpoints"
CURRENT = "current"
LOCK = ".lock"
_WORKING = re.compile(r"\.[0-9a-f]{16}-[0-9none.]+\.writing")
_SWITCHING = ".current.switching"
_OURS = {LOCK, CHECKPOINTS, CURRENT, _SWITCHING, history_lib.TORN}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Deployment:
  """An open deployment directory."""

  def __init__(self, path: pathlib.Path, root: int) -> None:
    self.path = path.resolve()
    self.root = root

  def place(self, name: str) -> pathlib.Path:
    """Returns the path of a checkpoint in it."""
    return self.path / CHECKPOINTS / name

  def plain_place(self, name: str) -> pathlib.Path:
    """Returns `place`; UserError when it is a link, which may lead out."""
    place = self.place(name)
    if place.is_symlink() or place.parent.is_symlink():
      raise errors.UserError(f"{place} is behind a link, which may lead out")
    return place

  def current(self) -> str | None:
    """Returns the name of the current checkpoint, None while there is none.

    Raises:
      UserError: `current` is no link to a checkpoint in the directory.
    """
    try:
      target = os.readlink(CURRENT, dir_fd=self.root)
    except FileNotFoundError:
      return None
    except OSError as error:
      raise errors.UserError(
        f"{self.path / CURRENT} is no link: move it away, it is not ours"
      ) from error
    folder, _, name = target.partition("/")
    if folder != CHECKPOINTS or not re.fullmatch(records.NAME_PATTERN, name):
      raise errors.UserError(
        f"{self.path / CURRENT} leads to {target!r}: that is no checkpoint of "
        "this deployment; remove the link, then promote one"
      )
    return name

  def history(self) -> history_lib.History:
    """Returns the verified history.

    Raises:
      DamagedError: it was changed, or is gone though something is current.
    """
    found = history_lib.read(self.root)
    if not found.switches and os.path.lexists(self.path / CURRENT):
      raise history_lib.DamagedError(
        f"{self.path} has no history though something is current: restore "
        f"{history_lib.NAME}, or remove the link to begin anew"
      )
    return found

  def switch(self, record: records.Record) -> records.Record:
    """Announces a switch in the history, then makes it; returns the line.

    Killed in between, the old one stays current and the line has no effect.

    Raises:
      UserError: nothing has changed, except perhaps for the line.
    """
    try:
      with contextlib.suppress(FileNotFoundError):
        os.unlink(_SWITCHING, dir_fd=self.root)
      # made first: on a full disk nothing is announced that cannot be done
      target = f"{CHECKPOINTS}/{record.checkpoint}"
      os.symlink(target, _SWITCHING, dir_fd=self.root)
      os.fsync(self.root)
      sealed = history_lib.append(self.root, record)
      os.rename(_SWITCHING, CURRENT, src_dir_fd=self.root, dst_dir_fd=self.root)
      os.fsync(self.root)
    except (OSError, errors.UserError) as error:
      with contextlib.suppress(OSError):
        os.unlink(_SWITCHING, dir_fd=self.root)
      if isinstance(error, errors.UserError):
        raise
      raise errors.UserError(
        f"{self.path / CURRENT} cannot be switched: {error.strerror}"
      ) from error
    return sealed

  def open_checkpoints(self) -> int:
    """Returns a descriptor of the directory of checkpoints, made if missing.

    Raises:
      UserError: it cannot be made, or is a link.
    """
    try:
      with contextlib.suppress(FileExistsError):
        os.mkdir(CHECKPOINTS, dir_fd=self.root)
        os.fsync(self.root)
      return os.open(CHECKPOINTS, _FOLDER | os.O_NOFOLLOW, dir_fd=self.root)
    except OSError as error:
      linked = error.errno in (errno.ELOOP, errno.ENOTDIR)
      reason = "it is no directory" if linked else error.strerror
      raise errors.UserError(
        f"{self.path / CHECKPOINTS} cannot be used: {reason}"
      ) from error

  def sweep(self) -> None:
    """Removes what killed promotions left half copied."""
    checkpoints = self.open_checkpoints()
    try:
      for name in os.listdir(checkpoints):
        if _WORKING.fullmatch(name):
          shutil.rmtree(name, ignore_errors=True, dir_fd=checkpoints)
    finally:
      os.close(checkpoints)


def check_outside(path: pathlib.Path) -> None:
  """Refuses a place in any checkpoint with papers, to which nothing is added.

  Raises:
    UserError: it is one, or lies in one.
  """
  real = path.resolve()
  for parent in (real, *real.parents):
    if os.path.lexists(parent / directory.PASSPORT):
      raise errors.UserError(
        f"{path} lies in the checkpoint {parent}, whose files are all signed: "
        "name a place outside of it"
      )


def check_apart(path: pathlib.Path) -> None:
  """Refuses a place in a deployment, which holds what promotions brought.

  Raises:
    UserError: it lies in one.
  """
  for parent in path.resolve().parents:
    if os.path.lexists(parent / history_lib.NAME):
      raise errors.UserError(
        f"{path} lies in the deployment {parent}: name a place outside of it"
      )


def check_ours(path: pathlib.Path, placed: str = "") -> None:
  """Refuses a directory that is neither new, nor empty, nor a deployment.

  Args:
    path: where a deployment is to be written.
    placed: a checkpoint that the user has put among its checkpoints.

  Raises:
    UserError: nothing has been written.
  """
  check_outside(path)
  real = path.resolve()
  if os.path.lexists(real / history_lib.NAME):
    return
  try:
    strange = sorted(_strange(real, placed))
  except OSError as error:
    raise errors.UserError(
      f"{path} is no deployment directory: {error.strerror}"
    ) from error
  if strange:
    names = ", ".join(strange[:3]) + (", ..." if len(strange) > 3 else "")
    raise errors.UserError(
      f"{path} is no deployment, and is not empty ({shown.cut(names)}): name a "
      "new directory"
    )


def _strange(path: pathlib.Path, placed: str) -> Iterator[str]:
  """Yields what no promotion has made, though it may have been killed."""
  for name in os.listdir(path) if path.exists() else ():
    if name not in _OURS:
      yield name
  checkpoints = path / CHECKPOINTS
  if checkpoints.is_symlink() or not checkpoints.is_dir():
    return
  for name in os.listdir(checkpoints):
    ours = re.fullmatch(records.NAME_PATTERN, name) or _WORKING.fullmatch(name)
    if not ours and name != placed:
      yield f"{CHECKPOINTS}/{name}"


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[Deployment]:
  """Yields a deployment for reading.

  Raises:
    UserError: there is no such directory.
  """
  try:
    root = os.open(path, _FOLDER)
  except OSError as error:
    raise errors.UserError(
      f"{path} is no deployment directory: {error.strerror}"
    ) from error
  try:
    yield Deployment(path, root)
  finally:
    os.close(root)


@contextlib.contextmanager
def locked(path: pathlib.Path, make: bool = False) -> Iterator[Deployment]:
  """Yields a deployment for writing, to one program at a time.

  Args:
    path: the directory.
    make: also make it.

  Raises:
    UserError: another program writes to it, or it cannot be written.
  """
  if make:
    try:
      path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise errors.UserError(
        f"{path} cannot be made: {error.strerror}"
      ) from error
  with opened(path) as found:
    descriptor = _lock(found)
    try:
      yield found
    finally:
      os.close(descriptor)


def _lock(found: Deployment) -> int:
  how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
  try:
    descriptor = os.open(LOCK, how, 0o644, dir_fd=found.root)
  except OSError as error:
    raise errors.UserError(
      f"{found.path / LOCK} cannot be opened: {error.strerror}"
    ) from error
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    os.close(descriptor)
    raise errors.UserError(
      f"{found.path} is being switched by another program: try again when it "
      "has ended"
    ) from error
  return descriptor
