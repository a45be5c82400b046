"""`history.jsonl`: only ever appended to, each line sealing the one before.

A line that a crash cut off ends without a newline. It was never acknowledged,
and counts as nothing; the next write moves it to `history.torn`.
"""

import dataclasses
import errno
import fcntl
import os
import stat

from carnet import errors
from carnet.lifecycle import records

NAME = "history.jsonl"
TORN = "history.torn"
LARGEST_BYTES = 1 << 26
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class DamagedError(errors.UserError):
  """The history is not what was written: somebody changed it."""


@dataclasses.dataclass(frozen=True)
class History:
  """What was switched, oldest first.

  Attributes:
    switches: the lines.
    head: sha256 of the last line, None while there is none.
    torn: what a crash left behind the last line.
  """

  switches: tuple[records.Record, ...] = ()
  head: str | None = None
  torn: bytes = b""


def read(root: int) -> History:
  """Returns the history of the directory with this descriptor, verified.

  Raises:
    DamagedError: a line was changed, removed, added or exchanged.
  """
  try:
    descriptor = os.open(NAME, os.O_RDONLY | _FLAGS, dir_fd=root)
  except FileNotFoundError:
    return History()
  except OSError as error:
    raise _unreadable(error) from error
  try:
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # not in the middle of an append
    return _read(descriptor)
  finally:
    os.close(descriptor)


def append(root: int, record: records.Record) -> records.Record:
  """Appends a line; returns it with the seal of the line before.

  When it returns, the line is on the disk; when it raises, there is no part of
  it. The caller holds the deployment's lock.

  Raises:
    DamagedError: what is there is not what was written.
    UserError: it cannot be written.
  """
  try:
    descriptor = _open(root, NAME)
  except OSError as error:
    raise _unreadable(error) from error
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    found = _read(descriptor)
    torn = _repair(root, descriptor, found.torn) if found.torn else None
    sealed = record.model_copy(
      update={"before": found.head, "torn_sha256": torn}
    )
    _write(descriptor, records.encode(sealed))
    os.fsync(root)
  except OSError as error:
    raise errors.UserError(
      f"{NAME} cannot be written: {error.strerror}"
    ) from error
  finally:
    os.close(descriptor)
  return sealed


def _repair(root: int, descriptor: int, torn: bytes) -> str:
  """Moves a torn line to another file; returns its sha256."""
  beside = _open(root, TORN)
  try:
    _write(beside, torn + b"\n")
    os.fsync(root)
  finally:
    os.close(beside)
  os.ftruncate(descriptor, os.fstat(descriptor).st_size - len(torn))
  os.fsync(descriptor)
  return records.sha256(torn)


def _open(root: int, name: str) -> int:
  how = os.O_RDWR | os.O_APPEND | os.O_CREAT | _FLAGS
  return os.open(name, how, 0o644, dir_fd=root)


def _write(descriptor: int, content: bytes) -> None:
  """Appends all of it, or nothing."""
  before = os.fstat(descriptor).st_size
  rest = content
  try:
    while rest:
      rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
  except OSError:
    os.ftruncate(descriptor, before)
    raise


def _read(descriptor: int) -> History:
  status = os.fstat(descriptor)
  if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_BYTES:
    raise DamagedError(
      f"{NAME} is no plain file of at most {LARGEST_BYTES} bytes"
    )
  with open(descriptor, "rb", closefd=False) as file:
    file.seek(0)
    *whole, torn = file.read(status.st_size).split(b"\n")
  lines = [line + b"\n" for line in whole]
  # a file system that lost power may have made room and not filled it
  if lines and not torn and b"\0" in lines[-1]:
    torn = lines.pop()
  found, head = [], None
  for number, line in enumerate(lines, 1):
    found.append(_verified(line, head, number))
    head = records.sha256(line)
  return History(tuple(found), head, torn)


def _verified(line: bytes, head: str | None, number: int) -> records.Record:
  where = f"{NAME}, line {number}"
  try:
    found = records.decode(line, where)
  except errors.UserError as error:
    raise DamagedError(f"{error}: the history was changed") from error
  if found.before != head or (number == 1 and found.previous is not None):
    raise DamagedError(
      f"{where} does not follow the line before it: the history was changed"
    )
  return found


def _unreadable(error: OSError) -> DamagedError:
  reason = error.strerror
  if error.errno == errno.ELOOP:
    reason = "it is a link"
  return DamagedError(f"{NAME} cannot be opened: {reason}")
