"""The directory of steps: names, what counts as a step, and who may write."""

import contextlib
import fcntl
import logging
import os
import pathlib
import re
import shutil
import socket
import time
import weakref
import zlib

from carnet import errors
from carnet.checkpoint import faults, manifest, plain_file

STEPS = "checkpoints"  # the directory of steps below a workdir
SIGNOFF = "SIGNOFF.json"
PASSPORT = "MODEL_PASSPORT.json"
SIGNATURE = "SIGNOFF.sig"
# what papers add to a step that was complete without them
REFERENCES = ("assets/reference_frames/", "assets/reference_test_vector/")
CHUNKS = "chunks"  # the store of what steps share

LOCK = ".lock"
_STEP_NAME = re.compile(r"[0-9]{9,}")
_LEFTOVER_NAME = re.compile(r"[0-9]{9,}\.[0-9]+\.(writing|deleting)")
_log = logging.getLogger(__name__)
_locked: set[pathlib.Path] = set()
_mentioned: set[pathlib.Path] = set()  # steps that a warning has named
ATTEMPTS = 100  # a writer may delete steps as fast as they are looked up


def step_name(step: int) -> str:
  """Returns the name of a step's directory: nine digits or more."""
  return f"{step:09d}"


def numbered(root: pathlib.Path) -> list[pathlib.Path]:
  """Returns everything that is named like a step, oldest first."""
  if not root.is_dir():
    return []
  found = [p for p in root.iterdir() if _STEP_NAME.fullmatch(p.name)]
  return sorted(found, key=lambda path: int(path.name))


def read_manifest(path: pathlib.Path) -> manifest.Manifest:
  """Returns the manifest of a step directory.

  Raises:
    CorruptError: there is none, it is unsound, or it is another step's.
    FormatError: a newer version of this library wrote it.
  """
  where = path / manifest.NAME
  found = manifest.decode(plain_file.read(where), str(where))
  numbered_as = _STEP_NAME.fullmatch(path.name)
  if numbered_as and path.name != step_name(found.step):
    raise faults.CorruptError(
      f"{where} is of step {found.step}: it was renamed or swapped"
    )
  return found


def complete(root: pathlib.Path) -> dict[int, manifest.Manifest]:
  """Returns the manifests of all complete steps, oldest first.

  Steps of a newer format are left out, with a warning.
  """
  for _ in range(ATTEMPTS):
    listed = numbered(root)
    steps = _sound(listed)
    if steps or all(map(os.path.lexists, listed)):
      break  # otherwise newer ones took their place meanwhile
  return steps


def _sound(listed: list[pathlib.Path]) -> dict[int, manifest.Manifest]:
  steps = {}
  for path in listed:
    try:
      steps[int(path.name)] = read_manifest(path)
    except faults.CorruptError:
      continue
    except faults.FormatError as error:
      _mention(path, str(error))
  return steps


def _mention(path: pathlib.Path, why: str) -> None:
  if path.absolute() not in _mentioned:
    _mentioned.add(path.absolute())
    _log.warning("not used: %s", why)


def resolve(path: pathlib.Path) -> pathlib.Path:
  """Returns the step directory that `path` means.

  Args:
    path: a step directory, a directory of steps, or a workdir; of several
      steps, the newest complete one.

  Raises:
    UserError: there is no step.
  """
  if (path / manifest.NAME).exists():
    return path
  if _STEP_NAME.fullmatch(path.name) and path.exists():
    raise faults.CorruptError(
      f"{path} has no {manifest.NAME}: its save never ended, or it was removed"
    )
  for root in (path, path / STEPS):
    steps = complete(root)
    if steps:
      newest = root / step_name(max(steps))
      _warn_newer(root, newest)
      return newest
  raise errors.UserError(
    f"no checkpoint at {path}: give a step directory, a directory of steps, "
    f"or a workdir with '{STEPS}/'"
  )


def _warn_newer(root: pathlib.Path, chosen: pathlib.Path) -> None:
  for path in numbered(root):
    newer = int(path.name) > int(chosen.name)
    if newer and path.absolute() not in _mentioned:
      _log.warning("%s has no sound %s: not used", path, manifest.NAME)


def foreign(root: pathlib.Path) -> list[str]:
  """Returns what lies in the directory other than leftovers of saves."""
  if not root.is_dir():
    return []
  names = sorted(path.name for path in root.iterdir())
  return [
    name
    for name in names
    if name not in (LOCK, CHUNKS) and not _LEFTOVER_NAME.fullmatch(name)
  ]


def files(path: pathlib.Path) -> list[str]:
  """Returns the paths of all files below `path`; links are not followed."""
  found = []
  for parent, _, names in os.walk(path):
    for name in names:
      found.append(str(pathlib.Path(parent, name).relative_to(path)))
  return found


def size_bytes(path: pathlib.Path) -> int:
  """Returns the bytes of all files below `path`."""
  return sum(os.lstat(path / name).st_size for name in files(path))


def working_name(
  path: pathlib.Path, purpose: str, token: int | None = None
) -> pathlib.Path:
  """Returns a fresh name beside a step; `purpose` is writing or deleting."""
  unique = time.monotonic_ns() if token is None else token
  return path.with_name(f"{path.name}.{unique}.{purpose}")


def sweep(root: pathlib.Path, current: pathlib.Path) -> None:
  """Removes what interrupted saves and deletions left, except `current`."""
  for path in root.iterdir():
    if _LEFTOVER_NAME.fullmatch(path.name) and path != current:
      shutil.rmtree(path, ignore_errors=True)


def publish(
  source: pathlib.Path, path: pathlib.Path, known_unsound: bool = False
) -> None:
  """Makes a written directory the step at `path`, in one rename.

  What is there, and is not a valid step, is set aside and never deleted.

  Raises:
    SaveError: a valid step is there, unless it is `known_unsound`.
    FormatError: a newer version of this library wrote what is there.
  """
  if path.exists():
    if _is_sound(path) and not known_unsound:
      raise faults.SaveError("another program has saved this step meanwhile")
    set_aside(path)
  os.rename(source, path)
  synchronize(path.parent)


def _is_sound(path: pathlib.Path) -> bool:
  try:
    read_manifest(path)
  except faults.CorruptError:
    return False
  return True


def set_aside(path: pathlib.Path) -> pathlib.Path:
  """Renames an unsound step; returns its new place."""
  place = path.with_name(f"{path.name}.{time.time_ns()}.unsound")
  os.rename(path, place)
  return place


def remove(path: pathlib.Path) -> None:
  """Deletes a step; from its first instant it no longer counts as one."""
  doomed = working_name(path, "deleting")
  os.rename(path, doomed)
  shutil.rmtree(doomed, ignore_errors=True)


def synchronize(path: pathlib.Path) -> None:
  """Waits until a file, or the entries of a directory, are on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


class Lock:
  """The right to write to a directory, held until `release` or the end."""

  def __init__(self, root: pathlib.Path) -> None:
    self._root = root.resolve()
    self._release: weakref.finalize | None = None
    self._holder = b""
    self._descriptor: int | None = None

  @property
  def held(self) -> bool:
    """Tells whether the right is held."""
    return self._release is not None

  def acquire(self) -> None:
    """Takes the right; does nothing when it is held already.

    Raises:
      UserError: another writer has it, or the directory cannot be written.
    """
    if self.held:
      return
    # POSIX locks exclude other processes; the set excludes other objects.
    if self._root in _locked:
      raise self._refusal("this process")
    try:
      self._root.mkdir(parents=True, exist_ok=True)
      descriptor = os.open(self._root / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
      raise errors.UserError(
        f"cannot write checkpoints to {self._root}: {error.strerror}"
      ) from error
    try:
      fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      holder = os.pread(descriptor, 256, 0).decode(errors="replace")
      os.close(descriptor)
      raise self._refusal(holder or "another process") from error
    os.ftruncate(descriptor, 0)
    name = f"process {os.getpid()} on {socket.gethostname()}"
    self._holder = name.encode()
    os.pwrite(descriptor, self._holder, 0)
    self._descriptor = descriptor
    _locked.add(self._root)
    # runs also when the lock is forgotten, or the program ends
    self._release = weakref.finalize(self, _unlock, self._root, descriptor)

  def renew(self) -> None:
    """Takes the right again, in case that this process lost it unawares.

    A POSIX lock goes when any part of the process closes the file, as a copy
    of the directory does.

    Raises:
      UserError: another writer has taken it meanwhile.
    """
    if self._descriptor is None:
      return
    try:
      fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise self._refusal("another process, meanwhile") from error

  def follow(self) -> None:
    """Notes that another process of this program has taken the right."""
    self._release = weakref.finalize(self, lambda: None)

  def fingerprint(self) -> int:
    """Returns a number that tells the holder's directory from others."""
    content = self._holder
    if not content:  # to close the file would let the holder's lock go
      with contextlib.suppress(OSError):
        content = (self._root / LOCK).read_bytes()
    return zlib.crc32(content) >> 1

  def release(self) -> None:
    """Gives the right back."""
    if self._release is not None:
      self._release()
      self._release = self._descriptor = None

  def _refusal(self, holder: str) -> errors.UserError:
    return errors.UserError(
      f"{self._root} is being written by {holder}: stop or close it, or use "
      "another directory"
    )


def _unlock(root: pathlib.Path, descriptor: int) -> None:
  os.close(descriptor)
  _locked.discard(root)
