"""Runs the catalogue on a checkpoint."""

import pathlib

from carnet import errors
from carnet.passport import context, outcome, shown

_FIRST = "schema"  # without it there is nothing to compare with
# what a robot may lack: module -> distribution
_OPTIONAL: dict[str | None, str] = {"packaging": "packaging", "PIL": "pillow"}


def validate(
  path: pathlib.Path, options: context.Options | None = None
) -> outcome.Report:
  """Returns what every check of the catalogue finds at a step directory.

  Raises:
    UserError: there is no such directory, or a section to skip is unknown.
  """
  return examine(context.Context(path, options))


def examine(found: context.Context) -> outcome.Report:
  """Returns `validate` of a context, which keeps what was read."""
  if not found.path.is_dir():
    raise errors.UserError(f"{found.path} is no directory: give a checkpoint")
  for name in found.options.skip_sections:
    if name not in groups():
      raise errors.unknown("section", name, groups())
  results: list[outcome.Result] = []
  sound = True
  for check in catalogue():
    finding = _run(check, found, sound)
    results.append(outcome.Result(check, finding))
    if check.group == _FIRST and finding.status is outcome.Status.FAIL:
      sound = check.severity == "soft" and sound
  return outcome.Report(str(found.path), tuple(results))


def catalogue() -> tuple[outcome.Check, ...]:
  """Returns every check, in order."""
  # they look at arrays, and numpy takes longer to import than all the rest
  from carnet.passport.checks import catalogue as listed

  return listed.CHECKS


def groups() -> tuple[str, ...]:
  """Returns the sections, in order."""
  return tuple(dict.fromkeys(check.group for check in catalogue()))


def _run(
  check: outcome.Check, found: context.Context, sound: bool
) -> outcome.Finding:
  if check.group in found.options.skip_sections:
    return outcome.not_checked("skipped on request")
  if not sound and check.group != _FIRST:
    return outcome.not_checked("the passport is not valid")
  if "rerun" in check.needs and not found.options.rerun:
    return outcome.not_checked("recomputed on request", "--rerun")
  try:
    return check.run(found)
  except errors.UserError as error:
    return outcome.failed(str(error))
  except Exception as error:
    if isinstance(error, ModuleNotFoundError) and error.name in _OPTIONAL:
      name = _OPTIONAL[error.name]
      return outcome.not_checked(
        f"{name} is not installed here", f"pip install {name}"
      )
    # nobody thought of that in a stranger's file
    fault = f"{type(error).__name__} {shown.cut(str(error))}"
    return outcome.failed(
      f"the check itself failed: {fault}",
      remedy="report this with the checkpoint: it is a fault of carnet",
    )
