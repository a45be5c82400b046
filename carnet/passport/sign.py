"""Signs a validated checkpoint off; with a key, the whole directory.

An old sign-off is replaced by a new one, and is removed where the validation
fails, or where soft findings have no reason and it is no longer of the present
files. What fails of the robot alone, its cameras or its repository, leaves it
alone where it still holds. So does a mistake in what is asked for, such as an
unfit key, which is found before anything is validated.
"""

import contextlib
import copy
import dataclasses
import os
import pathlib
import platform
import stat

import carnet
from carnet import errors
from carnet.checkpoint import directory
from carnet.passport import (
  context,
  fields,
  issuing,
  oms,
  outcome,
  schema,
  strict_json,
  validate,
  writing,
)
from carnet.passport.static import draft

_VERDICTS = {"ship_it": "pass", "human_look_here": "soft_signal"}
# hard checks that compare with a robot, and so tell nothing of the checkpoint
_OF_A_ROBOT = ("device_mapping", "deployment_repo_match")


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

  What was written is validated once more, as its consumers will.

  Raises:
    Refused: a hard check fails.
    ReasonMissing: there are soft findings.
    UserError: a section is left out, the key cannot sign, another process
      writes papers there, or nothing can be written.
  """
  request = _checked(request)
  with contextlib.nullcontext() if request.dry_run else issuing.held(path):
    if not request.dry_run:
      _remove_links(path)
    found = context.Context(path, _options(request))
    report = _judged(found, request)
    signoff = _signoff(found, report, request)
    if not request.dry_run:
      _write(path, signoff, request, found)
      _confirm(path, request)
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


def _checked(request: Request) -> Request:
  """Returns the request with its texts stripped; refuses mistakes in it."""
  if request.options.skip_sections:
    raise errors.UserError(
      "a validation that skips sections is not signed: leave --skip-section "
      "away"
    )
  if request.key is not None:
    oms.public_key(request.key.pem, request.key.password)
  return dataclasses.replace(
    request,
    reason=_line("--reason", request.reason),
    signer=_line("--signer", request.signer or "") or None,
  )


def _line(flag: str, text: str) -> str:
  line = text.strip()
  if not line.isprintable():
    raise errors.UserError(f"{flag}: give one line of printable text")
  if len(line) > fields.LARGEST_TEXT:
    raise errors.UserError(
      f"{flag}: {len(line)} characters, at most {fields.LARGEST_TEXT}"
    )
  return line


def _options(request: Request) -> context.Options:
  """Returns how it is looked at: no sign-off is asked of what is unsigned."""
  return dataclasses.replace(
    request.options,
    require_signoff=False,
    public_key=None,
    min_signed_utc=None,
    compare_code=True,
  )


def _remove_links(path: pathlib.Path) -> None:
  """Removes what stands for a sign-off and is no file: no check takes it."""
  for name in (directory.SIGNOFF, oms.NAME):
    place = path / name
    if os.path.lexists(place) and not stat.S_ISREG(os.lstat(place).st_mode):
      remove(path)


def _judged(found: context.Context, request: Request) -> outcome.Report:
  """Returns what the checks find, after refusing what cannot be signed."""
  everything = validate.examine(found)
  report = _without_old(everything)
  failed, soft = map(report.named, (outcome.Status.FAIL, outcome.Status.SOFT))
  refused = failed or (soft and not request.reason)
  if refused and not request.dry_run and _is_stale(everything, found):
    remove(found.path)
  if failed:
    names = ", ".join(failed)
    raise Refused(f"{found.path} is not signed: {names} failed", report)
  if refused:
    raise ReasonMissing(
      f"soft findings need a reason: --reason='accepted: {', '.join(soft)}: "
      "...'"
    )
  return report


def _is_stale(everything: outcome.Report, found: context.Context) -> bool:
  """Tells whether something fails without the robot of the caller, too."""
  alone = copy.copy(found)  # it keeps what was read
  alone.options = dataclasses.replace(
    found.options, device_map=None, target_repo=None
  )
  failed = [
    row.check for row in everything.results if row.status is outcome.Status.FAIL
  ]
  return any(
    check.id not in _OF_A_ROBOT
    or check.run(alone).status is outcome.Status.FAIL
    for check in failed
  )


def _without_old(report: outcome.Report) -> outcome.Report:
  """Returns a report that says nothing of an earlier sign-off."""
  unasked = outcome.not_checked("it is to be signed now")
  rows = (
    outcome.Result(row.check, unasked)
    if row.check.group == validate.SIGNOFF
    else row
    for row in report.results
  )
  return dataclasses.replace(report, results=tuple(rows))


def _signoff(
  found: context.Context,
  report: outcome.Report,
  request: Request,
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
      "reason": request.reason or "all checks passed",
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
  writing.write(path / directory.SIGNOFF, schema.encode(signoff))
  if request.key is None:
    (path / oms.NAME).unlink(missing_ok=True)  # it was of the earlier one
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
    writing.write(path / oms.NAME, bundle)
  except BaseException:  # also Ctrl-C: half of a sign-off is none
    remove(path)
    raise


def _confirm(path: pathlib.Path, request: Request) -> None:
  """Validates what was signed as a consumer will; removes it if that fails."""
  try:
    if request.key is not None:
      key = oms.public_key(request.key.pem, request.key.password)
      oms.verify(path, strict_json.read(path / oms.NAME), key)
  except BaseException:
    remove(path)
    raise
  gate = dataclasses.replace(
    _options(request), require_signoff=True, compare_code=False
  )
  found = context.Context(path, gate)
  report = validate.examine(found)
  if report.count(outcome.Status.FAIL):
    remove(path)
    names = ", ".join(report.named(outcome.Status.FAIL))
    raise Refused(f"what was signed does not validate: {names}", report)
