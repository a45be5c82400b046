"""Issues a passport: files first, then a fresh process that runs the policy."""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import pydantic

from carnet import errors, search_path
from carnet.checkpoint import directory
from carnet.passport import (
  context,
  family,
  history,
  issuing,
  measured,
  schema,
  shown,
  writing,
)
from carnet.passport.static import draft, files, given, required, robot, source

_ENTRY = "--entry="
_IMPORT = "--import="
_ABSENT = re.compile(r"ModuleNotFoundError: No module named '([^']+)'.*")


def generate(
  path: pathlib.Path,
  told: given.Given,
  run: bool = True,
  options: Sequence[str] = (),
  python: str = sys.executable,
) -> schema.Passport:
  """Writes `MODEL_PASSPORT.json` into a checkpoint and returns it.

  What was issued before, a sign-off included, is removed: it spoke of another
  passport. One process at a time may do so.

  Args:
    path: a step directory, or that of another program.
    told: what the caller tells.
    run: also measure, by running the policy.
    options: of `carnet.passport.dynamic.extract`.
    python: the interpreter of the model's own environment.

  Raises:
    UserError: what is missing, dirty or contradictory; nothing is written.
  """
  with issuing.held(path):
    described = draft.describe(path)
    found = _draft(path, told, described)
    with tempfile.TemporaryDirectory() as scratch:
      output = pathlib.Path(scratch)
      measurement = None
      if run:
        measurement = measure(path, found, output, options, python)
        found = source.told(found, path, measurement.code)
      _check_issues(found.known_issues)
      listed = _listed(path, output, told, described)
      found = _complete(found, measurement, listed, described.trainable)
      content = schema.encode(found)
      with issuing.exchanged(path, output):  # as short as can be
        writing.write(path / directory.PASSPORT, content)
  return found


def _draft(
  path: pathlib.Path, told: given.Given, described: family.Description
) -> schema.Passport:
  try:
    found = draft.make(path, told, described)
    if told.setup is not None:
      found = robot.apply(found, told.setup)
    found = required.settle(found, told)
  except pydantic.ValidationError as error:
    raise errors.UserError(
      f"what was told does not fit into a passport: {schema.faults(error)}"
    ) from error
  _check_issues(found.known_issues)
  return found


def _check_issues(rows: Sequence[history.KnownIssue]) -> None:
  """Refuses two known issues of one id, which no validation takes."""
  counted = collections.Counter(row.id for row in rows)
  twice = [name for name, count in counted.items() if count > 1]
  if twice:
    raise errors.UserError(
      f"two known issues have the id '{shown.cut(twice[0])}': give each "
      "--known-issue FILE an id of its own, none that generate-passport gives"
    )


def _listed(
  path: pathlib.Path,
  output: pathlib.Path,
  told: given.Given,
  described: family.Description,
) -> tuple[history.File, ...]:
  """Returns the files as they will be, with the assets in `output`."""
  options = context.Options(show_progress=told.show_progress)
  kept, fresh = (
    files.files(
      context.Context(place, options), described.roles, described.needed
    )
    for place in (path, output)
  )
  rows = [row for row in kept if not issuing.is_exchanged(row.path)]
  rows += [row for row in fresh if issuing.is_exchanged(row.path)]
  return tuple(sorted(rows, key=lambda row: row.path))


def _complete(
  found: schema.Passport,
  measurement: measured.Measured | None,
  listed: tuple[history.File, ...],
  trainable: str,
) -> schema.Passport:
  if measurement is not None:
    return measured.complete(found, measurement, listed, trainable)
  integrity = found.weight_integrity.model_copy(update={"weight_files": listed})
  return found.model_copy(update={"weight_integrity": integrity})


def measure(
  path: pathlib.Path,
  found: schema.Passport,
  output: pathlib.Path,
  options: Sequence[str] = (),
  python: str = sys.executable,
) -> measured.Measured:
  """Returns what a fresh process tells of the policy; assets go to `output`.

  Raises:
    UserError: nobody knows how to run it, it does not run, or modules would
      be looked for in the checkpoint.
  """
  before = output / "draft.json"
  before.write_bytes(schema.encode(found))
  given = any(word.startswith((_ENTRY, _IMPORT)) for word in options)
  command = [python, *search_path.options(path, given)]
  command += ["-m", "carnet.passport.dynamic.extract"]
  command += [str(path.absolute()), str(before), str(output), *options]
  done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
  if done.returncode:
    raise _refusal(done, options)
  try:
    content = (output / measured.NAME).read_bytes()
    return measured.Measured.model_validate_json(content)
  except (OSError, pydantic.ValidationError) as error:
    raise errors.UserError(
      f"the policy was run and told nothing sound: {error}"
    ) from error


def _refusal(
  done: subprocess.CompletedProcess[str], options: Sequence[str]
) -> errors.UserError:
  lines = done.stderr.strip().splitlines() or ["it said nothing"]
  absent = _ABSENT.fullmatch(lines[-1])
  for name in _modules(options):
    if absent and f"{name}.".startswith(f"{absent[1]}."):
      return errors.UserError(f"--import {name}: there is no such module")
  error = errors.UserError(
    f"the policy could not be examined (exit code {done.returncode}): "
    f"{lines[-1]}"
  )
  if done.returncode != 2:  # no refusal of ours: the whole traceback helps
    error.add_note(done.stderr)
  return error


def _modules(options: Sequence[str]) -> list[str]:
  return [x.removeprefix(_IMPORT) for x in options if x.startswith(_IMPORT)]
