"""Signs a validated checkpoint off; with a key, the whole directory."""

import dataclasses
import pathlib
import platform

import carnet
from carnet import errors
from carnet.checkpoint import directory
from carnet.passport import (
  context,
  generate,
  oms,
  outcome,
  schema,
  strict_json,
  validate,
)
from carnet.passport.static import draft

_VERDICTS = {"ship_it": "pass", "human_look_here": "soft_signal"}


class Refused(errors.UserError):
  """The checkpoint fails hard checks: there is nothing to sign.

  `report` has all of them.
  """

  def __init__(self, message: str, report: outcome.Report) -> None:
    super().__init__(message)
    self.report = report


class ReasonMissing(errors.UserError):
  """Soft findings are there, and no word on why they are accepted."""


@dataclasses.dataclass(frozen=True)
class Key:
  """A private key; see `carnet.passport.oms`."""

  pem: bytes
  password: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Request:
  """What the caller asks for; see `sign-checkpoint --help`."""

  reason: str = ""
  signer: str | None = None
  key: Key | None = None
  options: context.Options = dataclasses.field(default_factory=context.Options)
  dry_run: bool = False


def sign(
  path: pathlib.Path, request: Request
) -> tuple[schema.SignOff, outcome.Report]:
  """Writes `SIGNOFF.json`, and `SIGNOFF.sig` with a key, after validation.

  An old sign-off is removed first: it never survives a refusal. What was
  written is validated once more, as its consumers will.

  Raises:
    Refused: a hard check fails.
    ReasonMissing: there are soft findings.
    UserError: a section is left out, or nothing can be written.
  """
  options = dataclasses.replace(
    request.options,
    require_signoff=False,
    public_key=None,
    compare_code=True,
  )
  if options.skip_sections:
    raise errors.UserError(
      "a validation that skips sections is not signed: leave --skip-section "
      "away"
    )
  reason = _check_reason(request.reason)
  if not request.dry_run:
    remove(path)
  found = context.Context(path, options)
  report = validate.examine(found)
  if report.count(outcome.Status.FAIL):
    names = ", ".join(report.named(outcome.Status.FAIL))
    raise Refused(f"{path} is not signed: {names} failed", report)
  soft = report.named(outcome.Status.SOFT)
  if soft and not reason:
    raise ReasonMissing(
      f"soft findings need a reason: --reason='accepted: {', '.join(soft)}: "
      "...'"
    )
  signoff = _signoff(found, report, request, reason)
  if not request.dry_run:
    _write(path, signoff, request, found)
    _confirm(path, options, request)
  return signoff, report


def remove(path: pathlib.Path) -> None:
  """Removes the sign-off and its signature; UserError when it cannot."""
  try:
    for name in (directory.SIGNOFF, oms.NAME):
      (path / name).unlink(missing_ok=True)
  except OSError as error:
    raise errors.UserError(
      f"cannot remove the old sign-off of {path}: {error.strerror}"
    ) from error


def _check_reason(reason: str) -> str:
  if "\n" in reason.strip() or not reason.strip().isprintable():
    raise errors.UserError("--reason: give one line of printable text")
  return reason.strip()


def _signoff(
  found: context.Context,
  report: outcome.Report,
  request: Request,
  reason: str,
) -> schema.SignOff:
  passport = found.passport
  tree = passport.model_internals.tree_digest
  verdict = _VERDICTS[report.verdict]
  return schema.SignOff.model_validate(
    {
      "schema_version": schema.SCHEMA_VERSION,
      "passport_sha256": found.passport_sha256,
      "files": tuple(
        schema.Signed(
          path=row.path, sha256=row.sha256, size_bytes=row.size_bytes
        )
        for row in passport.weight_integrity.weight_files
      ),
      "tree_digest_root": tree.root if tree else None,
      "verdict": verdict,
      "reason": reason or "all checks passed",
      "accepted_soft_checks": report.named(outcome.Status.SOFT),
      "not_checked": report.named(outcome.Status.NOT_CHECKED),
      "validator": schema.Validator(
        name="carnet sign-checkpoint",
        version=carnet.__version__,
        platform=f"{platform.system()} {platform.machine()}",
      ),
      "signed_utc": draft.now(),
      "signer": request.signer,
      "signature_file": oms.NAME if request.key else None,
    }
  )


def _write(
  path: pathlib.Path,
  signoff: schema.SignOff,
  request: Request,
  found: context.Context,
) -> None:
  generate.write(path / directory.SIGNOFF, schema.encode(signoff))
  if request.key is None:
    return
  try:
    bundle = oms.sign(
      path,
      request.key.pem,
      request.key.password,
      found.digests,
      {
        "verdict": signoff.verdict,
        "reason": signoff.reason,
        "signed_utc": signoff.signed_utc,
        "run_id": found.passport.provenance.training_run.run_id,
      },
    )
    generate.write(path / oms.NAME, bundle)
  except errors.UserError:
    remove(path)
    raise


def _confirm(
  path: pathlib.Path, options: context.Options, request: Request
) -> None:
  """Validates what was signed as a consumer will; removes it if that fails."""
  try:
    if request.key is not None:
      key = oms.public_key(request.key.pem, request.key.password)
      oms.verify(path, strict_json.read(path / oms.NAME), key)
  except errors.UserError:
    remove(path)
    raise
  gate = dataclasses.replace(options, require_signoff=True, compare_code=False)
  found = context.Context(path, gate)
  report = validate.examine(found)
  if report.count(outcome.Status.FAIL):
    remove(path)
    names = ", ".join(report.named(outcome.Status.FAIL))
    raise Refused(f"what was signed does not validate: {names}", report)
