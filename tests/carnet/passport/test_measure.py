"""The process that runs a policy: when it starts, and what it imports."""

import subprocess

import pytest
import sample

from carnet import errors
from carnet.passport import context, generate, outcome, validate
from carnet.passport.checks import rerun

RERUN = {check.id for check in rerun.CHECKS}


def test_no_file_of_the_checkpoint_is_imported(step, tmp_path, monkeypatch):
  found = context.Context(step).passport
  for name in ("argparse", "optax", "jax"):
    (step / f"{name}.py").write_text(f"open('{tmp_path}/ran', 'w')\n")
  monkeypatch.chdir(step)
  with pytest.raises(errors.UserError, match="nobody here knows how to run"):
    generate.measure(step, found, tmp_path)
  assert not (tmp_path / "ran").exists()
  with pytest.raises(errors.UserError, match="lies in the checkpoint"):
    generate.measure(step, found, tmp_path, ["--entry=optax:examine"])
  assert not (tmp_path / "ran").exists()


def test_a_module_in_the_checkpoint_is_a_mistake_and_no_finding(
  step, monkeypatch
):
  (step / "mine.py").write_text("")
  monkeypatch.chdir(step)
  options = context.Options(rerun=True, entry="mine:examine")
  with pytest.raises(errors.UserError, match="lies in the checkpoint"):
    validate.validate(step, options)


def _rerun(step, monkeypatch, **options):
  """Returns the processes, and what the checks that need them found."""
  started = []

  def run(command, **_):
    started.append(command)
    return subprocess.CompletedProcess(command, 1, stderr="no")

  monkeypatch.setattr(generate.subprocess, "run", run)
  asked = context.Options(rerun=True, entry="json:loads", **options)
  report = validate.validate(step, asked)
  assert [x.check for x in report.results] == list(validate.catalogue())
  rows = [x.finding for x in report.results if x.check.id in RERUN]
  (told,) = {(row.status, row.evidence) for row in rows}
  return len(started), told


def test_nothing_runs_unless_the_files_are_those_of_the_passport(
  step, monkeypatch
):
  count, (status, _) = _rerun(step, monkeypatch)
  assert (count, status) == (1, outcome.Status.FAIL)  # it was started
  (step / "more").write_text("")
  count, told = _rerun(step, monkeypatch)
  assert (count, *told) == (
    *(0, outcome.Status.NOT_CHECKED),
    "the files are not those of the passport",
  )


def test_nothing_runs_unless_the_sign_off_holds(step, monkeypatch):
  (step / "SIGNOFF.json").unlink()
  assert _rerun(step, monkeypatch)[0] == 1
  count, told = _rerun(step, monkeypatch, require_signoff=True)
  assert (count, *told) == (
    *(0, outcome.Status.NOT_CHECKED),
    "the sign-off is not that of the passport",
  )


def test_who_signs_anew_asks_no_earlier_sign_off(step, monkeypatch):
  sample.write(step, **{"provenance/training_run/seed": 7})
  assert _rerun(step, monkeypatch)[0] == 0
  assert _rerun(step, monkeypatch, compare_code=True)[0] == 1
