"""Makes an earlier checkpoint of a deployment the current one again."""

import pathlib

from carnet import errors
from carnet.lifecycle import deployment as deployment_lib
from carnet.lifecycle import effective, gate, promotion, records, status


def rollback(
  deployment: pathlib.Path, request: promotion.Request, to: str = ""
) -> promotion.Switched:
  """Goes back to what was promoted before, after validating it again.

  Args:
    deployment: the directory of the deployment.
    request: who and why, and what it must fit.
    to: a step or the beginning of a passport's sha256; if empty, the one
      before, without those that were rolled back from.

  Raises:
    gate.Refused: it is not intact any more.
    UserError: there is nothing to go back to; what was current still is.
  """
  request = promotion.checked(request)
  deployment_lib.check_ours(deployment)
  with deployment_lib.locked(deployment) as found:
    current, history = found.current(), found.history()
    if current is None:
      reason = status.missing(deployment, history.switches)
      raise errors.UserError(f"nothing to roll back to: {reason}")
    if not to:
      effective.of_current(history.switches, current)
    target = _target(history.switches, current, to)
    signed = gate.require_signed(
      found.plain_place(target.checkpoint), request.asked
    )
    gate.require_same(signed, target)
    line = promotion.record(
      "rollback", signed, request, target.checkpoint, current
    ).model_copy(update={"success": target.success})
    return promotion.Switched(found.switch(line), signed.path, history.torn)


def _target(
  found: tuple[records.Record, ...], current: str, to: str
) -> records.Record:
  if not to:
    return effective.previous(found, current)
  target = effective.named(found, current, to)
  if target.checkpoint == current:
    raise errors.UserError(f"{current} is the current one already")
  return target
