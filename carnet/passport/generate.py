"""Issues a passport: files first, then a fresh process that runs the policy."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import pydantic

from carnet import errors
from carnet.checkpoint import directory
from carnet.passport import context, measured, schema
from carnet.passport.static import draft, files, given, required, robot

ASSETS = ("assets/reference_frames", "assets/reference_test_vector")


def generate(
  path: pathlib.Path,
  told: given.Given,
  run: bool = True,
  options: Sequence[str] = (),
  python: str = sys.executable,
) -> schema.Passport:
  """Writes `MODEL_PASSPORT.json` into a checkpoint and returns it.

  What was issued before, a sign-off included, is removed: it spoke of another
  passport.

  Args:
    path: a step directory, or that of another program.
    told: what the caller tells.
    run: also measure, by running the policy.
    options: of `carnet.passport.dynamic.extract`.
    python: the interpreter of the model's own environment.

  Raises:
    UserError: what is missing, dirty or contradictory; nothing is written.
  """
  described = draft.describe(path)
  found = draft.make(path, told, described)
  if told.setup is not None:
    found = robot.apply(found, told.setup)
  found = required.settle(found, told)
  if run:
    with tempfile.TemporaryDirectory() as scratch:
      output = pathlib.Path(scratch)
      measurement = measure(path, found, output, options, python)
      _exchange(path, output)
    shown = context.Options(show_progress=told.show_progress)
    complete = context.Context(path, shown)
    listed = files.files(complete, described.roles, described.needed)
    found = measured.complete(found, measurement, listed, described.trainable)
  else:
    _exchange(path, None)
  write(path / directory.PASSPORT, schema.encode(found))
  return found


def write(path: pathlib.Path, content: bytes) -> None:
  """Writes a file in one go: whoever reads sees all of it, or none.

  Raises:
    UserError: it cannot be written.
  """
  working = path.with_name(f".{path.name}.{os.getpid()}.writing")
  try:
    with working.open("wb") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(working, path)
  except OSError as error:
    working.unlink(missing_ok=True)
    raise errors.UserError(f"cannot write {path}: {error.strerror}") from error


def _exchange(path: pathlib.Path, output: pathlib.Path | None) -> None:
  """Removes what was issued before, and puts new reference data there."""
  try:
    for name in context.PAPERS:
      (path / name).unlink(missing_ok=True)
    for name in ASSETS:
      if (path / name).is_symlink():
        (path / name).unlink()
      shutil.rmtree(path / name, ignore_errors=True)
      if output is not None and (output / name).is_dir():
        shutil.copytree(output / name, path / name)
  except OSError as error:
    raise errors.UserError(f"cannot write {path}: {error.strerror}") from error


def measure(
  path: pathlib.Path,
  found: schema.Passport,
  output: pathlib.Path,
  options: Sequence[str] = (),
  python: str = sys.executable,
) -> measured.Measured:
  """Returns what a fresh process tells of the policy; assets go to `output`.

  Raises:
    UserError: nobody knows how to run it, or it does not run.
  """
  before = output / "draft.json"
  before.write_bytes(schema.encode(found))
  command = [python, "-m", "carnet.passport.dynamic.extract"]
  command += [str(path.absolute()), str(before), str(output), *options]
  done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
  if done.returncode:
    raise _refusal(done)
  try:
    content = (output / measured.NAME).read_bytes()
    return measured.Measured.model_validate_json(content)
  except (OSError, pydantic.ValidationError) as error:
    raise errors.UserError(
      f"the policy was run and told nothing sound: {error}"
    ) from error


def _refusal(done: subprocess.CompletedProcess[str]) -> errors.UserError:
  lines = done.stderr.strip().splitlines() or ["it said nothing"]
  error = errors.UserError(
    f"the policy could not be examined (exit code {done.returncode}): "
    f"{lines[-1]}"
  )
  if done.returncode != 2:  # no refusal of ours: the whole traceback helps
    error.add_note(done.stderr)
  return error
