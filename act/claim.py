"""A directory that one process fills, over as many runs as it takes."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from act import storage
from carnet import errors
from carnet.passport import ending

_SETTINGS_FILE = "settings.json"
_MOST_SHOWN = 80


@contextlib.contextmanager
def claimed(
  root: pathlib.Path, work: pathlib.Path, asked: Mapping[str, Any]
) -> Iterator[None]:
  """Holds the `work` directory for this process, making it where it lacks.

  Args:
    root: what is filled.
    work: where unfinished things lie.
    asked: what is made; the next run must ask for the same.

  Raises:
    Interrupted: of SIGTERM; Ctrl-C stays a KeyboardInterrupt.
    UserError: another process holds it, or it was begun with other settings.
  """
  try:
    work.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise errors.UserError(
      f"cannot create '{root}': {error.strerror}"
    ) from error
  with (work / "lock").open("w") as lock, _interruptible():
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise errors.UserError(
        f"another run is writing into '{root}': wait for it"
      ) from error
    for folder in (root, work):
      for path in folder.glob(f".*{storage.TEMPORARY}"):
        path.unlink()
    path = work / _SETTINGS_FILE
    if path.exists():
      compare(root, storage.read_json(path), asked)
    else:
      storage.write_json(path, asked)
    yield


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
  try:
    with ending.heeded():
      yield
  except ending.Ended as stop:
    message = f"{stop}: finished episodes are kept"
    raise errors.Interrupted(str(stop), message) from stop


def check_place(root: pathlib.Path) -> None:
  """Raises UserError where `root` cannot be a directory, before any work."""
  try:
    leads_nowhere = root.is_symlink() and not root.exists()
  except (OSError, ValueError) as error:
    reason = getattr(error, "strerror", None) or str(error)
    raise errors.UserError(
      f"cannot create '{str(root)[:_MOST_SHOWN]}': {reason}"
    ) from error
  if leads_nowhere:
    raise errors.UserError(
      f"'{root}' is a link that leads nowhere: delete it or choose another "
      "directory"
    )


def keep_apart(root: pathlib.Path, sources: Iterable[pathlib.Path]) -> None:
  """Raises UserError where `root` is a source, lies in one, or holds one."""
  target = pathlib.Path(os.path.realpath(root))
  for source in sources:
    real = pathlib.Path(os.path.realpath(source))
    if target == real:
      raise errors.UserError(f"'{root}' is the source itself: choose another")
    if target.is_relative_to(real):
      raise errors.UserError(
        f"'{root}' lies inside of the source '{source}': choose a directory "
        "beside it"
      )
    if real.is_relative_to(target):
      raise errors.UserError(
        f"the source '{source}' lies inside of '{root}': choose a directory "
        "beside it"
      )


def refuse_others(root: pathlib.Path, work: pathlib.Path) -> None:
  """Raises UserError where `root` is a file, or not empty and not begun."""
  if root.exists() and not root.is_dir():
    raise errors.UserError(f"'{root}' is a file, not a directory")
  if root.exists() and any(root.iterdir()) and not work.is_dir():
    raise errors.UserError(
      f"'{root}' is not empty and holds nothing that this command began: "
      "choose another directory"
    )


def compare(
  root: pathlib.Path, stored: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
  """Raises UserError naming what differs from what was begun or made."""
  differing = [name for name in asked if stored.get(name) != asked[name]]
  if "source" in differing:
    raise errors.UserError(
      f"'{root}' was made of other data ({stored.get('source')}) than asked "
      f"now ({asked['source']}), or they changed since: choose another "
      "directory or delete it"
    )
  if differing:
    told = "; ".join(
      f"{name} is {stored.get(name)!r} there, {asked[name]!r} was asked"
      for name in differing
    )
    raise errors.UserError(
      f"'{root}' was begun otherwise ({told}): choose another directory or "
      "delete it"
    )
