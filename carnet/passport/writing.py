"""Writing in one go, to where a user says, and to standard output."""

import contextlib
import os
import pathlib
import shutil
import stat
import sys
from typing import BinaryIO

from carnet import errors, terminal

STANDARD_OUTPUT = "-"


def write(path: pathlib.Path, content: bytes) -> None:
  """Writes a file in one go: whoever reads sees all of it, or none.

  A file that is replaced keeps its permissions.

  Raises:
    UserError: it cannot be written; nothing is left of the attempt.
  """
  working = working_name(path)
  try:
    working.unlink(missing_ok=True)
    with _created(working, path) as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(working, path)
  except OSError as error:
    raise refusal(path, error) from error
  finally:
    with contextlib.suppress(OSError):
      working.unlink(missing_ok=True)


def _created(working: pathlib.Path, path: pathlib.Path) -> BinaryIO:
  """Returns a new file that nobody may read who may not read `path`."""
  mode = _mode(path)
  if mode is None:
    return working.open("xb")
  descriptor = os.open(working, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
  os.fchmod(descriptor, mode)
  return os.fdopen(descriptor, "wb")


def _mode(path: pathlib.Path) -> int | None:
  """Returns the permissions of a plain file, None where there is none."""
  try:
    found = os.lstat(path).st_mode
  except OSError:
    return None
  return found & 0o777 if stat.S_ISREG(found) else None


def working_name(path: pathlib.Path) -> pathlib.Path:
  """Returns the name beside `path` under which this process writes it."""
  return path.with_name(f".{path.name}.{os.getpid()}.writing")


def put(place: str, content: bytes) -> None:
  """Writes to where a user says; "-" is standard output.

  A plain file is replaced in one go. A pipe, a device or a link stays what it
  is: it is written into.

  Raises:
    UserError: it cannot be written.
  """
  if place == STANDARD_OUTPUT:
    say(content.decode())
  elif _is_plain(place):
    write(pathlib.Path(place), content)
  else:
    _write_into(place, content)


def say(text: str) -> None:
  """Writes to standard output; what it has no letter for is spelled.

  Raises:
    UserError: it is closed, or full.
    BrokenPipeError: whoever read has left.
  """
  if sys.stdout is None:
    raise errors.UserError("cannot write standard output: it is closed")
  encoding = sys.stdout.encoding or "utf-8"
  spelled = text.encode(encoding, errors="backslashreplace").decode(encoding)
  try:
    sys.stdout.write(spelled)
    sys.stdout.flush()
  except OSError as error:
    _give_up()
    if isinstance(error, BrokenPipeError):
      raise
    raise refusal("standard output", error) from error


def tell(text: str) -> None:
  """Says what nothing depends on: the work is done, whoever listens."""
  try:
    say(text)
  except BrokenPipeError:
    pass
  except errors.UserError as error:
    sys.stderr.write(f"{terminal.printable(str(error))}\n")


def refusal(place: pathlib.Path | str, error: OSError) -> errors.UserError:
  """Returns the error for what cannot be written."""
  return errors.UserError(f"cannot write {place}: {reason(error)}")


def reason(error: OSError) -> str:
  """Returns what the system says, of a copied directory the first fault."""
  if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
    return str(error.args[0][0][-1])
  return error.strerror or str(error)


def _is_plain(place: str) -> bool:
  """Tells whether there is a plain file, or nothing."""
  try:
    return stat.S_ISREG(os.lstat(place).st_mode)
  except OSError:
    return True


def _write_into(place: str, content: bytes) -> None:
  try:
    with open(place, "wb") as file:
      file.write(content)
  except OSError as error:
    raise refusal(place, error) from error


def _give_up() -> None:
  """Lets what is still in the buffer go nowhere when the program ends."""
  with contextlib.suppress(OSError, ValueError):  # no file behind it
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
