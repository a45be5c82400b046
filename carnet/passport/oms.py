"""The key signature: an OpenSSF Model Signing bundle over a checkpoint.

Unlike a list of digests, which whoever swaps the weights writes anew, it takes
the private key. The released `model_signing` command verifies what is signed
here, and the other way round; here, moreover, files of Git count like others,
and links are refused whatever the signature says.
"""

import dataclasses
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from carnet import errors, paths, terminal
from carnet.checkpoint import directory as directory_lib
from carnet.checkpoint import integrity
from carnet.passport import oms_format, oms_keys, plain_tree

NAME = directory_lib.SIGNATURE
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 10  # faults that the message lists; the error has all
_HINT = 12  # digits of a key's hint, or of a digest, that a message shows


@dataclasses.dataclass(frozen=True)
class Verified:
  """What the holder of the key vouches for, and what is so on the disk.

  `digests` has the sha256 of each file; `facts` are what `sign` was given, or
  nothing; `key_hint` is the sha256 of the public key.
  """

  digests: Mapping[str, str]
  facts: Mapping[str, Any]
  key_hint: str


class SignatureError(errors.UserError):
  """A directory is not what the holder of the key signed.

  `faults` has one text for each file at fault, and is empty where already the
  signature is.
  """

  def __init__(self, message: str, faults: Iterable[str] = ()) -> None:
    super().__init__(terminal.printable(message))
    self.faults = tuple(map(terminal.printable, faults))


def sign(
  directory: pathlib.Path,
  key_pem: bytes,
  password: bytes | None = None,
  digests: Mapping[str, str] | None = None,
  facts: Mapping[str, Any] | None = None,
) -> bytes:
  """Returns the signature of all files below a directory but `SIGNOFF.sig`.

  Args:
    directory: what to sign.
    key_pem: an elliptic private key.
    password: of the key, where it has one.
    digests: the sha256 of files, by path, that need not be read again.
    facts: JSON that is signed with the files.

  Raises:
    UserError: the key cannot sign, or there are links, devices, odd names, or
      no files at all.
  """
  key = oms_keys.private(key_pem, password)
  found = _digests(directory, digests or {})
  payload = oms_format.encode_statement(
    directory.resolve().name, found, NAME, facts
  )
  signature = oms_keys.sign(key, _signed(payload))
  bundle = oms_format.encode_bundle(
    oms_format.Envelope(payload, signature, oms_keys.hint(key))
  )
  try:
    oms_format.decode_statement(oms_format.decode_bundle(bundle).payload)
  except (ValueError, errors.UserError) as error:
    raise errors.UserError(
      f"the signature of {directory} could not be read again: {error}"
    ) from error
  return bundle


def verify(
  directory: pathlib.Path,
  bundle: bytes,
  public_key_pem: bytes,
  ignore: Collection[str] = (),
  digests: Mapping[str, str] | None = None,
) -> Verified:
  """Returns what is signed, after comparing it with the files on the disk.

  Args:
    directory: it may have been renamed or copied since.
    bundle: the content of the signature.
    public_key_pem: of whom to believe.
    ignore: paths of files that may be there without being signed, beside
      `SIGNOFF.sig`. What the signature says of ignored paths does not count.
    digests: the sha256 of files, by path, that need not be read again.

  Raises:
    SignatureError: the directory is not what was signed with this key.
    UserError: the public key is none, or the directory is not there.
  """
  key = oms_keys.public(public_key_pem)
  try:
    envelope = oms_format.decode_bundle(bundle)
  except (ValueError, errors.UserError) as error:
    raise SignatureError(f"the signature is malformed: {error}") from error
  _authenticate(envelope, key)
  try:
    statement = oms_format.decode_statement(envelope.payload)
  except (ValueError, errors.UserError) as error:
    raise SignatureError(f"the signed statement is unfit: {error}") from error
  faults = _faults(directory, statement.digests, {NAME, *ignore}, digests or {})
  if faults:
    raise SignatureError(_summary(directory, faults), faults)
  return Verified(statement.digests, statement.facts, oms_keys.hint(key))


def public_key(key_pem: bytes, password: bytes | None = None) -> bytes:
  """Returns the public key of a private one, as PEM.

  Raises:
    UserError: it is no elliptic private key, or the password does not fit.
  """
  return oms_keys.public_pem(oms_keys.private(key_pem, password))


def _digests(
  directory: pathlib.Path, known: Mapping[str, str]
) -> dict[str, str]:
  """Returns the sha256 of all files but the signature itself."""
  with plain_tree.opened(directory) as root:
    files, faults = plain_tree.listing(root)
    files.discard(NAME)
    problems = [f"{path} {fault}" for path, fault in sorted(faults.items())]
    problems += [f"{path} is not there" for path in sorted(set(known) - files)]
    problems += [fault for path in sorted(files) if (fault := _unfit(path))]
    if problems:
      raise errors.UserError(
        terminal.printable(f"cannot sign {_summary(directory, problems)}")
      )
    if not files:
      raise errors.UserError(f"cannot sign {directory}: it has no files")
    unread = sorted(files - set(known))
    read = integrity.in_threads(lambda path: _hashed(root, path), unread)
  found = {**known, **dict(zip(unread, read, strict=True))}
  for path, value in found.items():
    if not _SHA256.fullmatch(value):
      raise errors.UserError(f"cannot sign {directory}: {path} {value}")
  return found


def _unfit(path: str) -> str:
  try:
    paths.check(path)
  except errors.UserError as error:
    return str(error)
  return ""


def _hashed(root: int, path: str) -> str:
  """Returns the sha256 of a file, or why there is none."""
  try:
    return plain_tree.sha256(root, path)
  except OSError as error:
    return f"is unreadable: {error.strerror}"


def _faults(
  directory: pathlib.Path,
  signed: Mapping[str, str],
  ignored: set[str],
  known: Mapping[str, str],
) -> list[str]:
  """Returns what differs between the directory and what was signed of it."""
  with plain_tree.opened(directory) as root:
    files, unfit = plain_tree.listing(root)
    there = sorted(files & set(signed))
    read = integrity.in_threads(
      lambda path: known.get(path) or _hashed(root, path), there
    )
  found = dict(unfit)
  for path in set(signed) - files - set(unfit):
    found[path] = "is missing"
  for path in files - set(signed) - ignored:
    found[path] = "was added: it is not signed"
  for path, sha256 in zip(there, read, strict=True):
    if not _SHA256.fullmatch(sha256):
      found[path] = sha256
    elif sha256 != signed[path]:
      found[path] = (
        f"was altered: its sha256 is {sha256[:_HINT]}..., signed was "
        f"{signed[path][:_HINT]}..."
      )
  return [f"{path} {fault}" for path, fault in sorted(found.items())]


def _summary(directory: pathlib.Path, faults: list[str]) -> str:
  rest = len(faults) - _SHOWN
  more = [f"and {rest} more"] if rest > 0 else []
  return f"{directory}: {'; '.join(faults[:_SHOWN] + more)}"


def _authenticate(envelope: oms_format.Envelope, key: Any) -> None:
  """Refuses an envelope that is not of this key; nothing in it is read."""
  hint = oms_keys.hint(key)
  other = bool(envelope.hint) and envelope.hint != hint
  if not oms_keys.fits(key, envelope.signature, _signed(envelope.payload)):
    if other:
      raise SignatureError(
        f"signed with another key: its hint is {envelope.hint[:_HINT]}, that "
        f"of the public key given is {hint[:_HINT]}"
      )
    raise SignatureError(
      "the signature does not fit: it was altered, or made with another key"
    )
  if other:
    raise SignatureError("the signature was altered: its key hint is another's")


def _signed(payload: bytes) -> bytes:
  return oms_format.pre_authentication(oms_format.PAYLOAD_TYPE, payload)
