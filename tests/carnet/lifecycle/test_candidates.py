"""One row for each complete checkpoint: worth, papers, and which is current."""

import shutil

import numpy as np
import oms_sample
import pytest
import sample
import worlds

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import directory, manifest
from carnet.lifecycle import candidates
from carnet.passport import oms

METRICS = {
  "validation/l1": 0.25,
  "evaluation/success_rate": 0.5,
  "evaluation/low": 0.2,
  "evaluation/high": 0.8,
  "evaluation/mean_return": 1.5,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Returns a workdir with three steps."""
  workdir = tmp_path_factory.mktemp("saved")
  with checkpoint_lib.Checkpoint(workdir / "checkpoints", verbose=False) as c:
    c.register("agent", {"w": np.ones(3, np.float32)})
    c.attach("config.json", {"evaluation": {"episodes": 20}})
    c.save(10, {"train/loss": 1.0})
    c.save(20, METRICS)
    c.save(30, {"validation/other": 0.5, "validation/none": float("nan")})
  return workdir


def _step(workdir, step):
  return workdir / "checkpoints" / directory.step_name(step)


def test_steps_are_told_with_loss_and_success(saved, tmp_path):
  workdir = shutil.copytree(saved, tmp_path / "run")
  worlds.evaluate(_step(workdir, 20), 4, 10)
  worlds.evaluate(_step(workdir, 30), 45, 50)
  a, b, c = candidates.candidates(workdir)
  assert [row.step for row in (a, b, c)] == [10, 20, 30]
  assert (a.validation, a.success) == (None, None)
  assert b.validation == ("validation/l1", 0.25)
  assert (b.success.rate, b.success.episodes) == (0.5, 20)
  assert b.note.startswith("smaller: 40% [17%, 69%], 10 episodes of scripts")
  assert c.validation == ("validation/other", 0.5)
  assert (c.success.rate, c.success.origin, c.note) == (0.9, "results", "")
  assert {row.state for row in (a, b, c)} == {"none"}
  worlds.evaluate(_step(workdir, 20), 29, 30)
  _, b, _ = candidates.candidates(workdir)
  assert b.success.episodes == 30
  assert b.note.startswith("training measured 50% [30%, 70%], 20 episodes of")


def test_incomplete_steps_are_left_out(saved, tmp_path):
  workdir = shutil.copytree(saved, tmp_path / "run")
  (_step(workdir, 20) / manifest.NAME).unlink()
  rows = candidates.candidates(workdir / "checkpoints")
  assert [row.step for row in rows] == [10, 30]


def test_an_unsound_evaluation_is_a_note(run):
  worlds.evaluate(run).write_text("{")
  (row,) = candidates.candidates(run.parent.parent)
  assert row.success is None
  assert "no sound JSON" in row.note


def _state(step, **options):
  (row,) = candidates.candidates(step.parent.parent, **options)
  return row.state


def test_the_state_of_the_papers(run, tmp_path):
  assert _state(run) == "signed pass"
  assert _state(run, quick=True) == "signed pass, not validated"
  sample.sign(
    run, verdict="soft_signal", accepted_soft_checks=["x"], reason="x it is"
  )
  assert _state(run) == "signed soft"
  key = tmp_path / "key.pub"
  key.write_bytes(oms.public_key(oms_sample.private()))
  assert _state(run, public_key=key) == "INVALID: signature_valid"
  (run / directory.SIGNOFF).unlink()
  assert _state(run) == "valid"
  assert _state(run, quick=True) == "passport"
  (run / "added").write_text("x")
  assert _state(run) == "INVALID: unlisted_files"
  sample.sign(run)
  (run / "config.json").unlink()
  assert _state(run).startswith("INVALID: ")
  assert "more" in _state(run)
  (run / directory.PASSPORT).unlink()
  assert _state(run) == "none"


@pytest.mark.parametrize("name", [directory.PASSPORT, directory.SIGNOFF])
def test_papers_that_are_none_are_invalid(run, name):
  (run / name).write_text("{")
  assert _state(run).startswith("INVALID: ")


def test_the_promoted_one_is_told(run, runs, deployment):
  deployment.mkdir()
  workdir = run.parent.parent
  assert not candidates.candidates(workdir, deployment)[0].promoted
  assert candidates.candidates(workdir)[0].promoted is None
  worlds.promote(runs[0], deployment)
  assert not candidates.candidates(workdir, deployment)[0].promoted
  worlds.promote(run, deployment)
  assert candidates.candidates(workdir, deployment)[0].promoted
  with pytest.raises(errors.UserError, match="is no deployment directory"):
    candidates.candidates(workdir, deployment / "nowhere")


def test_no_checkpoints_is_a_mistake(tmp_path):
  with pytest.raises(errors.UserError, match="no checkpoint at"):
    candidates.candidates(tmp_path)
