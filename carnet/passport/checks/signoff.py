"""The sign-off: what was signed is what lies here, and says that it may go."""

import datetime
import os
from collections.abc import Iterator

from carnet import errors
from carnet.checkpoint import directory, plain_file
from carnet.passport import context as context_lib
from carnet.passport import oms, oms_format, oms_keys, outcome, schema, shown

_SIGN = "sign-checkpoint"
_ANEW = f"validate-checkpoint tells what is wrong; then {_SIGN}"


def signoff_present(found: context_lib.Context) -> outcome.Finding:
  """Pass: a readable sign-off is there. Fail: it is unsound, or required.

  Not checked: there is none, and nothing was given that asks for one:
  --require-signoff, --public-key, --min-signed-utc.
  """
  try:
    signed = found.signoff
  except errors.UserError as error:
    return outcome.failed(
      shown.cut(error, 1000), directory.SIGNOFF, remedy=_SIGN
    )
  if signed is not None:
    return outcome.passed(f"{signed.verdict}, signed {signed.signed_utc}")
  if asks(found.options):
    evidence = "there is no sign-off"
    return outcome.failed(evidence, directory.SIGNOFF, remedy=_SIGN)
  return outcome.not_checked("there is no sign-off", _SIGN)


def signoff_passport_sha(found: context_lib.Context) -> outcome.Finding:
  """Pass: the passport is the one that was signed. Fail: it was edited."""
  signed = _signoff(found)
  if signed is None:
    return _none()
  if signed.passport_sha256 != found.passport_sha256:
    return outcome.failed(
      "the passport is not the one that was signed",
      f"{directory.SIGNOFF}#/passport_sha256",
      signed.passport_sha256,
      found.passport_sha256,
      f"review the passport, then {_SIGN}",
    )
  return outcome.passed(f"passport {found.passport_sha256[:12]}...")


def signoff_files_equal_passport(
  found: context_lib.Context,
) -> outcome.Finding:
  """Pass: signed, listed and present files are equal, digest by digest.

  Fail: one is missing on a side, or differs.
  """
  signed = _signoff(found)
  if signed is None:
    return _none()
  faults = list(_file_faults(found, signed))
  return outcome.first(faults, f"{len(signed.files)} files")


def signoff_tree_digest(found: context_lib.Context) -> outcome.Finding:
  """Pass: the signed content of the arrays is the passport's. Fail: else."""
  signed = _signoff(found)
  if signed is None:
    return _none()
  told = found.passport.model_internals.tree_digest
  root = None if told is None else told.root
  if signed.tree_digest_root != root:
    return outcome.failed(
      "another content of the arrays was signed",
      f"{directory.SIGNOFF}#/tree_digest_root",
      signed.tree_digest_root,
      root,
      _ANEW,
    )
  return outcome.passed(
    f"root {root[:12]}..." if root else "none on both sides"
  )


def signoff_verdict(found: context_lib.Context) -> outcome.Finding:
  """Pass: "pass", or "soft_signal" with the accepted checks. Fail: else.

  A written sign-off that says "fail" is no permission, nor is one whose
  verdict contradicts what it accepts.
  """
  signed = _signoff(found)
  if signed is None:
    return _none()
  accepted = signed.accepted_soft_checks
  where = f"{directory.SIGNOFF}#/verdict"
  if signed.verdict == "fail":
    evidence = "the sign-off says fail: do not load it"
    return outcome.failed(evidence, where, "pass", "fail", _ANEW)
  if (signed.verdict == "soft_signal") != bool(accepted):
    evidence = f"{signed.verdict} with {len(accepted)} accepted soft checks"
    return outcome.failed(evidence, where, remedy=_ANEW)
  names = ", ".join(map(shown.cut, accepted[:10]))
  return outcome.passed(f"{signed.verdict}{': ' if names else ''}{names}")


def signoff_reason(found: context_lib.Context) -> outcome.Finding:
  """Pass: one line says why. Soft: none, or more, where all checks passed.

  Fail: so where soft signals were accepted.
  """
  signed = _signoff(found)
  if signed is None:
    return _none()
  if signed.reason.strip() and len(signed.reason.splitlines()) == 1:
    return outcome.passed(shown.cut(signed.reason))
  hard = signed.verdict != "pass"
  return outcome.Finding(
    outcome.Status.FAIL if hard else outcome.Status.SOFT,
    "the reason is not one line of text",
    f"{directory.SIGNOFF}#/reason",
    remedy=f"{_SIGN} --reason='why it may be used'",
  )


def signoff_recent(found: context_lib.Context) -> outcome.Finding:
  """Pass: signed at --min-signed-utc or later. Fail: earlier, as replays are.

  Not checked: without --min-signed-utc, or without a sign-off.
  """
  signed = _signoff(found)
  if signed is None:
    return _none()
  least = found.options.min_signed_utc
  if least is None:
    return outcome.not_checked(
      f"signed {signed.signed_utc}: any time is taken", "--min-signed-utc"
    )
  if _time(signed.signed_utc) < _time(least):
    return outcome.failed(
      f"signed {signed.signed_utc}, before {shown.cut(least)}",
      f"{directory.SIGNOFF}#/signed_utc",
      f"{shown.cut(least)} or later",
      signed.signed_utc,
      f"use a later checkpoint, or {_SIGN} again",
    )
  return outcome.passed(f"signed {signed.signed_utc}")


def signature_valid(found: context_lib.Context) -> outcome.Finding:
  """Pass: the holder of the key signed exactly these files. Fail: else.

  A missing signature is a failure too, where a public key is given or the
  sign-off names a signature. Not checked: without --public-key.
  """
  key, path = found.options.public_key, found.path / oms.NAME
  there = os.path.lexists(path)
  signed = _signoff(found)
  named = signed is not None and signed.signature_file is not None
  if key is None and (there or not named):
    if there:
      return outcome.not_checked("no key was given", "--public-key FILE")
    return outcome.not_checked(
      "not signed with a key", f"{_SIGN} --private-key FILE"
    )
  if key is None or not there:
    return outcome.failed(
      "there is no key signature",
      oms.NAME,
      remedy=f"{_SIGN} --private-key FILE: anybody may have made what is "
      "unsigned",
    )
  bundle = plain_file.read(path, oms_format.LARGEST_BYTES)
  try:
    pem = oms_keys.read(key)
    verified = oms.verify(found.path, bundle, pem, digests=found.digests)
  except oms.SignatureError as error:
    return outcome.failed(
      shown.cut(error, 2000),
      oms.NAME,
      remedy="do not load it; ask for an unaltered copy",
    )
  count, hint = len(verified.digests), verified.key_hint[:12]
  if directory.SIGNOFF not in verified.digests:
    evidence = "the key signed no sign-off"
    return outcome.failed(evidence, directory.SIGNOFF, remedy=_SIGN)
  return outcome.passed(f"{count} files, key {hint}...")


def asks(options: context_lib.Options) -> bool:
  """Tells whether options ask for a sign-off, by name or by what it needs."""
  told = (options.public_key, options.min_signed_utc)
  return options.require_signoff or told != (None, None)


CHECKS = outcome.group(
  "signoff",
  hard=(
    signoff_present,
    signoff_passport_sha,
    signoff_files_equal_passport,
    signoff_tree_digest,
    signoff_verdict,
    signoff_reason,
    signoff_recent,
    signature_valid,
  ),
  needs={"signature_valid": ("key",)},
)


def _signoff(found: context_lib.Context) -> schema.SignOff | None:
  """Returns the sign-off; None also for one that signoff_present refuses."""
  try:
    return found.signoff
  except errors.UserError:
    return None


def _none() -> outcome.Finding:
  return outcome.not_checked("there is no readable sign-off", _SIGN)


def _file_faults(
  found: context_lib.Context, signed: schema.SignOff
) -> Iterator[outcome.Finding]:
  listed = {
    row.path: (row.sha256, row.size_bytes)
    for row in found.passport.weight_integrity.weight_files
  }
  rows = {row.path: (row.sha256, row.size_bytes) for row in signed.files}
  if len(rows) < len(signed.files):
    yield _fault("", "is signed twice")
  for path in sorted(rows.keys() | listed.keys() | found.digests.keys()):
    if path not in rows:
      yield _fault(path, "is not signed")
    elif path not in listed:
      yield _fault(path, "is signed, and not in the passport")
    elif rows[path] != listed[path]:
      yield _fault(path, "is signed with another size or digest")
    elif found.digests.get(path) != rows[path][0]:
      yield _fault(path, "is not on the disk as it was signed")


def _fault(path: str, evidence: str) -> outcome.Finding:
  name = shown.cut(path) or "a file"
  return outcome.failed(
    f"{name} {evidence}", f"{directory.SIGNOFF}#/files", remedy=_ANEW
  )


def _time(text: str) -> datetime.datetime:
  try:
    found = datetime.datetime.fromisoformat(text)
  except ValueError as error:
    raise errors.UserError(
      f"{shown.cut(text)} is no time: give 2026-01-31T12:00:00Z"
    ) from error
  return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
