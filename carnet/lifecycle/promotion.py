"""Makes a signed checkpoint the current one of a deployment."""

import dataclasses
import datetime
import getpass
import os
import pathlib
import re

from carnet import errors
from carnet.checkpoint import digest
from carnet.lifecycle import copying, gate, records, simulated
from carnet.lifecycle import deployment as deployment_lib
from carnet.passport import context, strict_json

_LARGEST_KEY = 1 << 16


@dataclasses.dataclass(frozen=True)
class Request:
  """Who asks, why, and what is demanded; see `scripts/lifecycle.py --help`.

  Attributes:
    reason: one line.
    by: who; the login name if empty.
    asked: with which key it must be signed, and what it must fit.
    demands: what a promotion must be worth.
    results: an evaluation that does not lie beside the step.
    copy: False if the checkpoint lies in the deployment already.
  """

  reason: str
  by: str = ""
  asked: context.Options = dataclasses.field(default_factory=context.Options)
  demands: gate.Demands = dataclasses.field(default_factory=gate.Demands)
  results: pathlib.Path | None = None
  copy: bool = True


@dataclasses.dataclass(frozen=True)
class Switched:
  """A switch that was made, and what a crash before it had left."""

  record: records.Record
  path: pathlib.Path
  torn: bytes = b""


def promote(
  checkpoint: pathlib.Path, deployment: pathlib.Path, request: Request
) -> Switched:
  """Copies a checkpoint into a deployment and makes it the current one.

  Args:
    checkpoint: a step directory, or a workdir for its newest step.
    deployment: the directory of the deployment, made if missing.
    request: who, why, and what is demanded.

  Raises:
    gate.Refused: it is not good enough, not signed off, or not intact.
    UserError: it cannot be done; what was current still is.
  """
  request = checked(request)
  path = context.resolve(checkpoint)
  _check_apart(path, deployment, request.copy)
  signed = gate.require_signed(path, request.asked)
  success = request.demands.check(
    path, simulated.best(path, signed.manifest, request.results)
  )
  with deployment_lib.locked(deployment, make=request.copy) as found:
    torn = found.history().torn  # refuses, before copying, what was changed
    previous = found.current()
    found.sweep()
    name = (_bring if request.copy else _named)(found, signed, request)
    line = record("promote", signed, request, name, previous).model_copy(
      update={
        "success": success,
        "source": str(path.resolve()) if request.copy else None,
      }
    )
    return Switched(found.switch(line), found.place(name), torn)


def checked(request: Request) -> Request:
  """Returns a request with a name and a reason that can be recorded.

  Raises:
    UserError: one is no line of text, or nobody is logged in.
  """
  reason = records.check_line(request.reason, "--reason")
  try:
    by = records.check_line(request.by or getpass.getuser(), "--by")
  except (KeyError, OSError, ImportError) as error:
    raise errors.UserError("nobody is logged in: say --by=NAME") from error
  return dataclasses.replace(request, reason=reason, by=by)


def record(
  action: str,
  signed: gate.Signed,
  request: Request,
  name: str,
  previous: str | None,
) -> records.Record:
  """Returns the record of a switch from `previous` to a checkpoint."""
  key = request.asked.public_key
  return records.Record.model_validate(
    {
      "schema_version": "1.0",
      "before": None,  # the history fills this and torn_sha256 in
      "action": action,
      "utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
      "by": request.by,
      "reason": request.reason,
      "checkpoint": name,
      "previous": previous,
      "passport_sha256": signed.passport_sha256,
      "signoff_sha256": signed.signoff_sha256,
      "verdict": signed.signoff.verdict,
      "step": signed.step,
      "run_id": signed.passport.provenance.training_run.run_id,
      "success": None,
      "source": None,
      "public_key_sha256": _sha256(key) if key else None,
      "torn_sha256": None,
    }
  )


def _sha256(key: pathlib.Path) -> str:
  return digest.data(strict_json.read(key.resolve(), _LARGEST_KEY))


def _check_apart(
  path: pathlib.Path, deployment: pathlib.Path, copied: bool
) -> None:
  """Refuses a checkpoint on the wrong side of the deployment's border."""
  home = deployment.resolve() / deployment_lib.CHECKPOINTS
  within = path.absolute().parent.resolve() == home and not path.is_symlink()
  if not copied and not within:
    raise errors.UserError(
      f"--no_copy: {path} does not lie in {home}; nothing outside of a "
      "deployment is ever current"
    )
  deployment_lib.check_ours(deployment, "" if copied else path.name)


def _bring(
  found: deployment_lib.Deployment,
  signed: gate.Signed,
  request: Request,
) -> str:
  """Returns the name of the copy, made unless a sound one is there."""
  checkpoints = found.open_checkpoints()
  try:
    for number in range(1, 1 << 16):
      name = signed.name + (f".{number}" if number > 1 else "")
      if not os.path.lexists(found.place(name)):
        copying.copy(
          signed.path,
          checkpoints,
          name,
          lambda working: _confirm(found.place(working), signed, request),
        )
        return name
      if _is_copy(found.place(name), signed, request):
        return name
  finally:
    os.close(checkpoints)
  raise errors.UserError(f"{found.path} holds too many copies of {signed.name}")


def _named(
  found: deployment_lib.Deployment,
  signed: gate.Signed,
  request: Request,
) -> str:
  """Returns the name of a checkpoint that lies in the deployment already."""
  del request
  name = signed.path.absolute().name
  if not re.fullmatch(rf"{signed.name}(\.[0-9]{{1,6}})?", name):
    raise errors.UserError(
      f"--no_copy: rename {signed.path} to {signed.name} first"
    )
  found.plain_place(name)
  return name


def _confirm(
  place: pathlib.Path, signed: gate.Signed, request: Request
) -> None:
  """Refuses a copy that is not what was examined, byte by byte."""
  copied = gate.require_signed(place, request.asked)
  if _papers(copied) != _papers(signed):
    raise gate.Refused(f"{signed.path} was changed while it was copied")


def _is_copy(
  place: pathlib.Path, signed: gate.Signed, request: Request
) -> bool:
  """Tells whether an earlier copy is sound, and signed by the same paper."""
  if place.is_symlink():
    return False
  try:
    _confirm(place, signed, request)
  except errors.UserError:
    return False
  return True


def _papers(signed: gate.Signed) -> tuple[str, str]:
  return signed.passport_sha256, signed.signoff_sha256
