"""The papers of a run's newest checkpoint: issued, validated, signed off."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from carnet import evaluation, policy, terminal
from carnet.checkpoint import directory
from carnet.passport import context, generate, outcome, page, sign, validate
from carnet.passport.formats import rows
from carnet.passport.static import draft, given


@dataclasses.dataclass(frozen=True)
class Attempt:
  """What became of the papers of a run; `failure` is why there are none."""

  workdir: pathlib.Path
  signed: bool
  failure: Exception | None = None

  def load(self) -> evaluation.Loaded:
    """Returns the policy, fed by its passport if there is a valid one."""
    if self.failure is not None:
      return policy.without_passport(self.workdir)
    return policy.load(self.workdir, require_signoff=self.signed)

  def summary(self) -> dict[str, bool | str | None]:
    """Returns what a result says of the papers."""
    report = self.workdir / "report.html"
    return {
      "signed": self.signed,
      "report": str(report) if report.exists() else None,
    }

  def check(self) -> None:
    """Raises the failure, if there is one."""
    if self.failure is not None:
      raise self.failure


def attempt(workdir: pathlib.Path) -> Attempt:
  """Does what `complete` does; a failure is kept, so that a run goes on."""
  try:
    return Attempt(workdir, complete(workdir))
  except Exception as error:  # the result of hours is not lost to its papers
    print(f"no valid passport: {terminal.printable(str(error))}")
    return Attempt(workdir, signed=False, failure=error)


def issue(
  path: pathlib.Path,
  modules: Sequence[str] = (),
  told: given.Given | None = None,
  dataset: str = "",
) -> pathlib.Path:
  """Writes the passport of a checkpoint; returns the step directory.

  A passport that is there already stays, and a sign-off with it.

  Args:
    path: a step directory, or a workdir for its newest step.
    modules: to be imported before the policy is run.
    told: what the papers are told; the command line alone if None.
    dataset: recordings to question the policy with; else those of the run.

  Raises:
    UserError: the policy cannot be examined.
  """
  step = draft.resolve(path)
  if (step / directory.PASSPORT).exists():
    return step
  options = [f"--import={name}" for name in modules]
  if dataset:
    options.append(f"--dataset_path={dataset}")
  generate.generate(
    step, told or given.Given(argv=tuple(sys.argv)), options=options
  )
  return step


def print_next_steps(step: pathlib.Path) -> None:
  """Prints how to validate a checkpoint and to sign it off."""
  print(
    f"passport: {step / directory.PASSPORT}\n"
    f"next: validate-checkpoint {step} --html report.html\n"
    f"      sign-checkpoint {step}"
  )


def complete(workdir: pathlib.Path) -> bool:
  """Issues, validates and signs off; prints where everything is.

  Returns whether it was signed: soft findings are a person's to accept, and
  are printed with the command for it.

  Raises:
    UserError: a hard check fails, or the policy cannot be examined.
  """
  step = issue(workdir)
  report = workdir / "report.html"
  try:
    signed = _is_signed(step) or _sign(step)
  except sign.Refused:
    _write_page(step, report)
    raise
  found = _write_page(step, report)
  counts = {x.value: found.count(x) for x in outcome.Status}
  print(f"passport: {step / directory.PASSPORT}")
  print("checks: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
  print(f"signed: {step / directory.SIGNOFF}" * signed or "signed: no")
  print(f"report: {report}")
  return signed


def _is_signed(step: pathlib.Path) -> bool:
  if not (step / directory.SIGNOFF).exists():
    return False
  found = validate.validate(step, context.Options(require_signoff=True))
  return not found.count(outcome.Status.FAIL)


def _sign(step: pathlib.Path) -> bool:
  """Returns False where soft findings wait for a person's reason."""
  try:
    sign.sign(step, sign.Request())
  except sign.ReasonMissing as error:
    print(f"not signed: {error}\n  sign-checkpoint {step} --reason=...")
    return False
  return True


def _write_page(step: pathlib.Path, place: pathlib.Path) -> outcome.Report:
  found = context.Context(step)
  told = validate.examine(found)
  text = page.build(rows.Validation(told), found)
  place.write_text(text, encoding="utf-8")
  return told
