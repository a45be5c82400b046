"""All complete checkpoints of a run: what each is worth, and its papers."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

from carnet import errors
from carnet.checkpoint import directory, inspection, manifest
from carnet.lifecycle import deployment as deployment_lib
from carnet.lifecycle import effective, records, simulated
from carnet.passport import context, outcome, shown, validate

_VALIDATION = "validation/"
_PREFERRED = "validation/l1"  # of ACT
_KINDS = {"pass": "signed pass", "soft_signal": "signed soft"}


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A checkpoint of a run.

  Attributes:
    validation: name and value of the loss on held-out data.
    success: the larger of its evaluations.
    note: the other evaluation, or why there is none.
    state: none, passport, valid, signed pass, signed soft, or INVALID with the
      first check that fails.
    promoted: whether the deployment that was named points at it.
  """

  path: str
  step: int
  validation: tuple[str, float] | None
  success: records.Success | None
  note: str
  state: str
  promoted: bool | None


def candidates(
  path: pathlib.Path,
  deployment: pathlib.Path | None = None,
  public_key: pathlib.Path | None = None,
  quick: bool = False,
) -> tuple[Candidate, ...]:
  """Returns the complete checkpoints of a run, the newest last.

  Args:
    path: a workdir or its directory of steps.
    deployment: where one of them may be the current one.
    public_key: what is signed must be signed with the key to it.
    quick: believe the papers without reading the other files.

  Raises:
    UserError: there are no steps.
  """
  root = inspection.root_of(path)
  current = None if deployment is None else _promoted(deployment)
  return tuple(
    _candidate(
      root / directory.step_name(step),
      found,
      context.Options(public_key=public_key),
      quick,
      current,
    )
    for step, found in directory.complete(root).items()
  )


def _candidate(
  path: pathlib.Path,
  found: manifest.Manifest,
  options: context.Options,
  quick: bool,
  current: str | None,
) -> Candidate:
  success, note = _simulated(path, found)
  checked = context.Context(path, options)
  state, sha256 = _state(checked, quick)
  promoted = None if current is None else bool(sha256) and sha256 == current
  validation = _validation(found.metrics)
  return Candidate(
    str(path), found.step, validation, success, note, state, promoted
  )


def _validation(
  metrics: Mapping[str, float | None],
) -> tuple[str, float] | None:
  names = [name for name in metrics if name.startswith(_VALIDATION)]
  for name in sorted(names, key=lambda name: (name != _PREFERRED, name)):
    value = metrics[name]
    if value is not None:
      return name, value
  return None


def _simulated(
  path: pathlib.Path, found: manifest.Manifest
) -> tuple[records.Success | None, str]:
  """Returns the evaluation that counts, and a note on the other one."""
  try:
    own = simulated.of_metrics(path, found)
    chosen = simulated.best(path, found)
  except errors.UserError as error:
    return None, shown.cut(error)
  if own is None or chosen is None:
    return chosen, ""
  place = simulated.beside(path, found.step)
  if chosen is not own and chosen != own:
    return chosen, f"training measured {simulated.described(own)}"
  if place is not None and place.exists():
    other = simulated.of_results(place, found, path.name)
    return chosen, f"smaller: {simulated.described(other)}"
  return chosen, ""


def _state(found: context.Context, quick: bool) -> tuple[str, str]:
  """Returns the state of the passport, and its sha256 if there is one."""
  if not os.path.lexists(found.path / directory.PASSPORT):
    return "none", ""
  try:
    sha256, signed = found.passport_sha256, found.signoff
  except errors.UserError as error:
    return f"INVALID: {shown.cut(error)}", ""
  kind = _KINDS.get(signed.verdict, "") if signed else ""
  if quick:
    return (f"{kind}, not validated" if kind else "passport"), sha256
  report = validate.examine(found)
  failed = report.named(outcome.Status.FAIL)
  if failed:
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"INVALID: {failed[0]}{more}", sha256
  return kind or "valid", sha256


def _promoted(deployment: pathlib.Path) -> str:
  """Returns the passport's sha256 of the current checkpoint, or nothing."""
  with deployment_lib.opened(deployment) as found:
    current, history = found.current(), found.history()
    if current is None:
      return ""
    return effective.of_current(history.switches, current).passport_sha256
