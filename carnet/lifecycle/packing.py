"""A signed checkpoint as one archive, byte for byte as it was signed.

The same checkpoint gives the same archive: names are sorted, times and owners
are left out. What lies in it is unpacked with tar, and validated again there.
"""

import hashlib
import io
import os
import pathlib
import tarfile
from typing import BinaryIO

from carnet import errors
from carnet.checkpoint import directory
from carnet.lifecycle import deployment, gate
from carnet.passport import context, plain_tree

_MODE = 0o444


def pack(
  checkpoint: pathlib.Path,
  place: pathlib.Path,
  asked: context.Options | None = None,
) -> gate.Signed:
  """Writes a checkpoint to the tar archive `place`, and returns its papers.

  Args:
    checkpoint: a step directory, or a workdir for its newest step.
    place: a file that is not there yet.
    asked: with which key it must be signed, and what it must fit.

  Raises:
    gate.Refused: it is not signed off, not intact, or does not fit.
    UserError: the archive is there already, or cannot be written.
  """
  path = context.resolve(checkpoint)
  if os.path.lexists(place):
    raise errors.UserError(f"{place} is there already")
  deployment.check_outside(place)
  deployment.check_apart(place)
  signature = _signature(path)  # before it is verified
  signed = gate.require_signed(path, asked)
  working = place.with_name(f".{place.name}.{os.getpid()}.writing")
  try:
    with working.open("xb") as file:
      _write(signed, signature, file)
      file.flush()
      os.fsync(file.fileno())
    os.rename(working, place)
  except OSError as error:
    raise errors.UserError(f"cannot write {place}: {error.strerror}") from error
  finally:
    working.unlink(missing_ok=True)
  return signed


def _signature(path: pathlib.Path) -> dict[str, str]:
  """Returns the digest of the signature by its name, if there is one."""
  with plain_tree.opened(path) as root:
    try:
      return {directory.SIGNATURE: plain_tree.sha256(root, directory.SIGNATURE)}
    except OSError:
      return {}


def _write(
  signed: gate.Signed, signature: dict[str, str], file: BinaryIO
) -> None:
  expected = {
    **{x.path: x.sha256 for x in signed.signoff.files},
    **signature,
    directory.PASSPORT: signed.passport_sha256,
    directory.SIGNOFF: signed.signoff_sha256,
  }
  with (
    plain_tree.opened(signed.path) as root,
    tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive,
  ):
    files, faults = plain_tree.listing(root)
    if faults or files != set(expected):
      raise _changed(signed.path)
    for name in sorted(files):
      with plain_tree.reading(root, name) as content:
        sha256 = _add(archive, f"{signed.name}/{name}", content)
      if sha256 != expected[name]:
        raise _changed(signed.path)


def _add(
  archive: tarfile.TarFile, name: str, content: io.BufferedReader
) -> str:
  """Adds a file; returns the sha256 of the bytes that went in."""
  entry = tarfile.TarInfo(name)
  entry.size = os.fstat(content.fileno()).st_size
  entry.mode = _MODE
  counted = _Counted(content)
  archive.addfile(entry, counted)
  return counted.digest.hexdigest()


class _Counted(io.RawIOBase):
  """Hashes what is read through it."""

  def __init__(self, content: io.BufferedReader) -> None:
    self._content = content
    self.digest = hashlib.sha256()

  def readable(self) -> bool:
    return True

  def read(self, size: int = -1) -> bytes:
    found = self._content.read(size)
    self.digest.update(found)
    return found


def _changed(path: pathlib.Path) -> gate.Refused:
  return gate.Refused(f"{path} was changed while it was packed")
