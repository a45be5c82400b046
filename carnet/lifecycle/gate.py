"""The gate: what is not signed off, or not good enough, goes no further."""

import dataclasses
import math
import os
import pathlib

from carnet import errors
from carnet.checkpoint import digest, directory, manifest
from carnet.lifecycle import records
from carnet.passport import (
  context,
  exit_code,
  outcome,
  schema,
  shown,
  strict_json,
  validate,
)


class Refused(errors.UserError):
  """A gate says no; `exit_code` is that of `validate-checkpoint`."""

  def __init__(self, message: str, code: int = 1) -> None:
    super().__init__(message)
    self.exit_code = code


@dataclasses.dataclass(frozen=True)
class Signed:
  """A checkpoint that passed, and the papers that it passed with."""

  path: pathlib.Path
  passport: schema.Passport
  signoff: schema.SignOff
  manifest: manifest.Manifest | None
  passport_sha256: str
  signoff_sha256: str

  @property
  def step(self) -> int | None:
    """The step, by the manifest or else the passport."""
    if self.manifest is not None:
      return self.manifest.step
    told = self.passport.weight_integrity.checkpoint_format.step
    run = self.passport.provenance.training_run
    return run.steps if told is None else told

  @property
  def name(self) -> str:
    """The name that its copies begin with."""
    step = "none" if self.step is None else str(self.step)
    return f"{self.passport_sha256[:16]}-{step}"


def require_signed(
  path: pathlib.Path, asked: context.Options | None = None
) -> Signed:
  """Returns a checkpoint with a valid sign-off; all of its files are read.

  Args:
    path: the directory of the passport.
    asked: with which key it must be signed, and what it must fit.

  Raises:
    Refused: a check fails, with the exit code of `validate-checkpoint`.
    UserError: there is no such directory.
  """
  if path.is_dir() and not os.path.lexists(path / directory.PASSPORT):
    raise Refused(f"{path} has no passport: generate-passport issues one")
  options = asked or context.Options()
  found = context.Context(
    path, dataclasses.replace(options, require_signoff=True)
  )
  report = validate.examine(found)
  if report.count(outcome.Status.FAIL):
    code = int(exit_code.of(report))
    raise Refused(f"{path}: {first_fault(report)}", code)
  signoff = found.signoff
  assert signoff is not None  # signoff_present has passed
  return Signed(
    path=path,
    passport=found.passport,
    signoff=signoff,
    manifest=found.manifest,
    passport_sha256=found.passport_sha256,
    signoff_sha256=digest.data(strict_json.read(path / directory.SIGNOFF)),
  )


def first_fault(report: outcome.Report) -> str:
  """Returns the first failed check, with how many more there are."""
  failed = [r for r in report.results if r.status is outcome.Status.FAIL]
  finding = failed[0].finding
  remedy = f"; {finding.remedy}" if finding.remedy else ""
  more = f" (and {len(failed) - 1} more checks)" if len(failed) > 1 else ""
  return shown.cut(
    f"{failed[0].check.id}: {finding.evidence}{remedy}{more}", 1000
  )


def require_same(found: Signed, record: records.Record) -> None:
  """Refuses a checkpoint that is not the one that a record speaks of."""
  told = (record.passport_sha256, record.signoff_sha256)
  if (found.passport_sha256, found.signoff_sha256) != told:
    raise Refused(
      f"{found.path} is not what the history says: passport "
      f"{found.passport_sha256[:16]}, recorded {told[0][:16]}; promote again"
    )


@dataclasses.dataclass(frozen=True)
class Demands:
  """What a policy must be worth.

  Attributes:
    min_success: of the tasks that know success.
    min_return: of the mean return, for tasks that know none.
    use_lower_bound: compare the lower end of the 95 % interval instead.

  Raises:
    UserError: a demand that nothing could fall short of, such as NaN.
  """

  min_success: float = 0.8
  min_return: float | None = None
  use_lower_bound: bool = False

  def __post_init__(self) -> None:
    if not 0 <= self.min_success <= 1:  # holds for no NaN
      raise errors.UserError(
        f"--min_success {self.min_success}: give a rate from 0 to 1"
      )
    if self.min_return is not None and not math.isfinite(self.min_return):
      raise errors.UserError(
        f"--min_return {self.min_return}: give a finite number"
      )

  def check(
    self, path: pathlib.Path, found: records.Success | None
  ) -> records.Success:
    """Returns what was found; raises Refused when that is not enough."""
    if found is None:
      raise Refused(f"{path} was never evaluated: scripts/eval.py first")
    what, value, least = self._measure(path, found)
    if self.use_lower_bound:
      if found.low is None:
        raise Refused(f"{path}: nobody knows the interval of its {what}")
      what, value = f"lower bound of the {what}", found.low
    if not value >= least:  # NaN is not enough either
      raise Refused(f"{path}: {what} {value:.4g} is below {least:.4g}")
    return found

  def _measure(
    self, path: pathlib.Path, found: records.Success
  ) -> tuple[str, float, float]:
    if found.rate is not None:
      if self.min_return is not None:
        raise errors.UserError(
          f"--min_return: {path} has a success rate, which --min_success judges"
        )
      return "success rate", found.rate, self.min_success
    if self.min_return is None:
      raise Refused(f"{path}: its task knows no success, say --min_return")
    assert found.mean_return is not None  # one of the two is always told
    return "mean return", found.mean_return, self.min_return
