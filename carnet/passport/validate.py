"""Runs the catalogue on a checkpoint."""

import importlib.machinery
import importlib.util
import os
import pathlib
from collections.abc import Callable
from typing import Any

from carnet import errors, search_path, xla_flags
from carnet.passport import context, outcome, shown

SIGNOFF = "signoff"  # the section of the sign-off and of its signature
_FIRST = "schema"  # without it there is nothing to compare with
_FILES = "files"
_LAST = "rerun"  # it runs the policy, if the files are what was issued
# what a robot may lack: module -> distribution
_OPTIONAL: dict[str | None, str] = {"packaging": "packaging", "PIL": "pillow"}


def validate(
  path: pathlib.Path, options: context.Options | None = None
) -> outcome.Report:
  """Returns what every check of the catalogue finds at a step directory.

  Raises:
    UserError: there is no such directory, a section to skip is unknown or is
      asked for, or a file of the caller is not what it should be.
  """
  return examine(context.Context(path, options))


def examine(found: context.Context) -> outcome.Report:
  """Returns `validate` of a context, which keeps what was read."""
  if not found.path.is_dir():
    raise errors.UserError(f"{found.path} is no directory: give a checkpoint")
  _check_sections(found.options)
  if found.options.rerun or found.options.compare_code:
    xla_flags.check()  # these run the policy's code
  _check_files(found.options)
  _check_modules(found)
  findings: dict[str, outcome.Finding] = {}
  failed: set[str] = set()  # groups, of which a hard check did
  for check in sorted(catalogue(), key=lambda x: x.group == _LAST):
    findings[check.id] = _run(check, found, failed)
    is_failure = findings[check.id].status is outcome.Status.FAIL
    if is_failure and check.severity == "hard":
      failed.add(check.group)
  rows = (outcome.Result(x, findings[x.id]) for x in catalogue())
  return outcome.Report(str(found.path), tuple(rows))


def catalogue() -> tuple[outcome.Check, ...]:
  """Returns every check, in order."""
  # they look at arrays, and numpy takes longer to import than all the rest
  from carnet.passport.checks import catalogue as listed

  return listed.CHECKS


def groups() -> tuple[str, ...]:
  """Returns the sections, in order."""
  return tuple(dict.fromkeys(check.group for check in catalogue()))


def _check_sections(options: context.Options) -> None:
  """Refuses to leave out what is asked for, and what all else rests on."""
  from carnet.passport.checks import signoff

  for name in options.skip_sections:
    if name not in groups():
      raise errors.unknown("section", name, groups())
  if _FIRST in options.skip_sections:
    raise errors.UserError(
      f"--skip-section {_FIRST}: no passport can be checked without it"
    )
  if SIGNOFF in options.skip_sections and signoff.asks(options):
    raise errors.UserError(
      f"--skip-section {SIGNOFF} contradicts --require-signoff, --public-key "
      "and --min-signed-utc: leave it away"
    )


def _check_files(options: context.Options) -> None:
  """Refuses unfit files of the caller: they say nothing of the checkpoint."""
  from carnet.passport import dataset_facts, oms_keys
  from carnet.passport.checks import devices, live

  rows: tuple[tuple[str, pathlib.Path | None, Callable[..., Any]], ...] = (
    ("--public-key", options.public_key, oms_keys.read_public),
    ("--device-map", options.device_map, devices.read),
    ("--live-frames", options.live_frames, live.read),
    ("--dataset-path", options.dataset_path, dataset_facts.read),
  )
  for flag, path, read in rows:
    try:
      if path is not None:
        read(path)
    except errors.UserError as error:
      where = "" if str(path) in str(error) else f" {path}"
      raise errors.UserError(f"{flag}{where}: {error}") from error


def _check_modules(found: context.Context) -> None:
  """Refuses modules that are not there, or that the checkpoint may have."""
  options = found.options
  if not options.rerun:
    return
  search_path.options(found.path, bool(options.modules or options.entry))
  rows = [("--import", name) for name in options.modules]
  if options.entry:
    rows.append(("--entry", options.entry.partition(":")[0]))
  for flag, name in rows:
    if not _is_module(name.partition(".")[0]):
      raise errors.UserError(f"{flag} {name}: there is no such module")


def _is_module(name: str) -> bool:
  """Tells whether the process that runs the policy finds a module."""
  try:
    found = importlib.util.find_spec(name)
  except ValueError:  # no name, or __main__
    return False
  here = importlib.machinery.PathFinder.find_spec(name, [os.getcwd()])
  return (found or here) is not None


def _bound(options: context.Options) -> set[str]:
  """Returns the groups that bind the files; who signs, signs them anew."""
  return {_FILES} if options.compare_code else {_FILES, SIGNOFF}


def _run(
  check: outcome.Check, found: context.Context, failed: set[str]
) -> outcome.Finding:
  if check.group in found.options.skip_sections:
    return outcome.not_checked("skipped on request")
  if _FIRST in failed and check.group != _FIRST:
    return outcome.not_checked("the passport is not valid")
  if "rerun" in check.needs and not found.options.rerun:
    return outcome.not_checked("recomputed on request", "--rerun")
  if check.group == _LAST and failed & _bound(found.options):
    if _FILES in failed:
      return outcome.not_checked("the files are not those of the passport")
    return outcome.not_checked("the sign-off is not that of the passport")
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
