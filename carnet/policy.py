"""A policy out of its checkpoint: verified and loaded in one call.

    loaded = policy.load("runs/quickstart", public_key="key.pub")
    carry = loaded.policy.init(1)
    carry, action = loaded.policy.act(carry, observation, key)

Preprocessing is built from the passport's transform pipeline, not from what
the code would do by default.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from carnet import errors, evaluation
from carnet.checkpoint import directory
from carnet.passport import (
  context,
  exit_code,
  family,
  outcome,
  schema,
  validate,
)

GROUP = "carnet.policies"  # entry points: config.agent -> load(path, ...)
Stat = tuple[int, int, int, int]


def load(
  checkpoint: pathlib.Path | str,
  require_signoff: bool = True,
  public_key: pathlib.Path | str | None = None,
  overrides: Mapping[str, Any] | None = None,
  min_signed_utc: str | None = None,
) -> evaluation.Loaded:
  """Returns the policy of a checkpoint that its passport vouches for.

  What is verified is what is loaded: leaves are compared with the digests of
  the manifest that the passport pins, and files that changed between the two
  are refused.

  Args:
    checkpoint: a step directory, or a workdir for its newest step.
    require_signoff: also refuse what nobody has signed off.
    public_key: PEM file of whom to believe; needs the `signing` extra.
    overrides: options of execution, see the family's `evaluation.load`.
    min_signed_utc: the least time of the sign-off, "2026-01-31T00:00:00Z",
      against an old checkpoint that is put back; only a key makes it certain.

  Raises:
    UserError: no passport, one that does not validate, or another content.
  """
  step = context.resolve(pathlib.Path(checkpoint))
  if not os.path.lexists(step / directory.PASSPORT):
    raise errors.UserError(
      f"{step} has no {directory.PASSPORT}: generate-passport {step}, "
      f"validate-checkpoint {step} and sign-checkpoint {step} give it one"
    )
  key = pathlib.Path(public_key) if public_key is not None else None
  if min_signed_utc is not None:
    context.utc(min_signed_utc, "min_signed_utc=")
  options = context.Options(
    require_signoff=require_signoff,
    public_key=key,
    min_signed_utc=min_signed_utc,
  )
  found = context.Context(step, options)
  before = _stats(found)
  _refuse(validate.examine(found))
  loaded = without_passport(step, overrides, found.passport.transform_pipeline)
  _check_unchanged(context.Context(step), before)
  return dataclasses.replace(
    loaded, facts=loaded.facts | {"passport": _facts(found)}
  )


def without_passport(
  checkpoint: pathlib.Path | str,
  overrides: Mapping[str, Any] | None = None,
  pipeline: tuple[Any, ...] | None = None,
) -> evaluation.Loaded:
  """Returns the policy of a checkpoint, whatever papers it has.

  Args:
    checkpoint: a step directory, or a workdir for its newest step.
    overrides: options of execution.
    pipeline: preprocessing; None is that of the checkpoint's own files.

  Raises:
    UserError: no valid checkpoint, or one of a family that is not installed.
  """
  given = pathlib.Path(checkpoint)
  step = given if context.foreign(given) else directory.resolve(given)
  config = context.Context(step).json("config.json")
  name = config.get("agent") if isinstance(config, dict) else None
  if name is None:
    raise errors.UserError(
      f"{step} is another program's: no agent is named in its config.json, so "
      "that program's own code loads it"
    )
  return _loader(str(name))(step, overrides, pipeline=pipeline)


def _loader(name: str) -> Callable[..., evaluation.Loaded]:
  entries = family.entries(GROUP)
  for entry in entries:
    if entry.name == name:
      return entry.load()
  raise errors.unknown("config.agent", name, sorted(e.name for e in entries))


def _refuse(report: outcome.Report) -> None:
  if exit_code.of(report) == exit_code.ExitCode.PASS:
    return
  faults = [
    f"{result.check.id}: {result.finding.evidence[:200]}"
    for result in report.results
    if result.status is outcome.Status.FAIL
  ]
  raise errors.UserError(
    f"{report.directory} does not validate: {'; '.join(faults[:5])}"
    f"{'; ...' * (len(faults) > 5)} (validate-checkpoint tells all)"
  )


def _stats(found: context.Context) -> dict[str, Stat]:
  """Returns what would change if a file were exchanged or written to."""
  stats = {}
  for entry in found.entries:
    status = os.lstat(found.path / entry.path)
    stats[entry.path] = (
      status.st_dev,
      status.st_ino,
      status.st_size,
      status.st_mtime_ns,
    )
  return stats


def _check_unchanged(found: context.Context, before: dict[str, Stat]) -> None:
  after = _stats(found)
  changed = [
    path
    for path in sorted(before.keys() | after.keys())
    if before.get(path) != after.get(path)
  ]
  if changed:
    raise errors.UserError(
      f"{found.path} changed while it was loaded: {', '.join(changed[:5])}; "
      "nothing of it is to be trusted"
    )


def _facts(found: context.Context) -> dict[str, Any]:
  signoff: schema.SignOff | None = found.signoff
  return {
    "sha256": found.passport_sha256,
    "verdict": signoff.verdict if signoff else None,
    "signed_utc": signoff.signed_utc if signoff else None,
  }
