"""Nothing leads out of a deployment, and two never switch at once."""

import shutil

import pytest
import worlds

from carnet import errors
from carnet.checkpoint import digest, directory
from carnet.lifecycle import deployment as deployment_lib
from carnet.lifecycle import gate, status


@pytest.mark.parametrize("name", ["checkpoints", ".lock", "history.jsonl"])
def test_no_link_leads_out_of_a_deployment(run, deployment, tmp_path, name):
  outside = tmp_path / "outside"
  if name == "checkpoints":
    outside.mkdir()
  else:
    outside.write_bytes(b"mine")
  before = worlds.tree(tmp_path)
  deployment.mkdir()
  (deployment / name).symlink_to(outside)
  with pytest.raises(errors.UserError, match="cannot be"):
    worlds.promote(run, deployment)
  after = worlds.tree(tmp_path)
  assert {k: after[k] for k in before} == before


@pytest.mark.parametrize(
  "target", ["/etc", "checkpoints/../..", "checkpoints/x", "../run"]
)
def test_a_current_that_leads_elsewhere_is_refused(run, deployment, target):
  worlds.promote(run, deployment)
  (deployment / "current").unlink()
  (deployment / "current").symlink_to(target)
  for act in (worlds.promote, lambda _, where: worlds.rollback(where)):
    with pytest.raises(errors.UserError, match="no checkpoint of this"):
      act(run, deployment)
  with pytest.raises(errors.UserError, match="no checkpoint of this"):
    status.status(deployment)


def test_a_current_that_is_no_link_is_left_alone(run, deployment):
  (deployment / "current").mkdir(parents=True)
  with pytest.raises(errors.UserError, match="has no history"):
    worlds.promote(run, deployment)
  assert (deployment / "current").is_dir()


def test_two_at_once_one_is_refused(run, deployment):
  worlds.promote(run, deployment)
  before = worlds.tree(deployment)
  with (
    deployment_lib.locked(deployment),
    pytest.raises(errors.UserError, match="by another program"),
  ):
    worlds.promote(run, deployment)
  assert worlds.tree(deployment) == before
  worlds.promote(run, deployment)


def test_without_a_copy_the_checkpoint_must_lie_in_the_deployment(
  run, deployment
):
  results = worlds.evaluate(run)
  with pytest.raises(errors.UserError, match="does not lie in"):
    worlds.promote(run, deployment, copy=False)
  home = deployment / "checkpoints"
  home.mkdir(parents=True)
  placed = shutil.copytree(run, home / "mine")
  options = {"copy": False, "results": results}
  name = f"{digest.file(run / directory.PASSPORT)[:16]}-30"
  with pytest.raises(errors.UserError, match=f"rename .* to {name} first"):
    worlds.promote(placed, deployment, **options)
  placed.rename(home / name)
  record = worlds.promote(home / name, deployment, **options)
  assert (record.checkpoint, record.source) == (name, None)
  assert status.status(deployment).path == home / name
  linked = home / f"{name}.2"
  linked.symlink_to(run)
  with pytest.raises(errors.UserError, match="does not lie in"):
    worlds.promote(linked, deployment, **options)


def _a_checkpoint(step, place):
  shutil.copytree(step, place)


def _an_unsigned_checkpoint(step, place):
  shutil.copytree(step, place)
  (place / directory.SIGNOFF).unlink()
  (place / directory.PASSPORT).unlink()


def _a_run(step, place):
  shutil.copytree(step, place / "checkpoints" / step.name)


def _a_project(step, place):
  del step
  (place / ".git").mkdir(parents=True)


@pytest.mark.parametrize(
  "make", [_a_checkpoint, _an_unsigned_checkpoint, _a_run, _a_project]
)
def test_nothing_is_written_where_no_deployment_is(runs, tmp_path, make):
  place = tmp_path / "place"
  make(runs[1], place)
  before = worlds.tree(place)
  for act in (worlds.promote, lambda _, where: worlds.rollback(where)):
    with pytest.raises(
      errors.UserError, match=r"place (is no|lies in)"
    ) as told:
      act(runs[0], place)
    assert not isinstance(told.value, gate.Refused)
    assert "\n" not in str(told.value)
  assert worlds.tree(place) == before


def test_a_file_is_no_deployment(run, deployment):
  deployment.write_text("")
  for act in (worlds.promote, lambda _, where: worlds.rollback(where)):
    with pytest.raises(errors.UserError, match="is no deployment directory"):
      act(run, deployment)


def test_an_empty_directory_and_one_with_a_history_are_ours(run, deployment):
  deployment.mkdir()
  worlds.promote(run, deployment)
  (deployment / "README").write_text("whose this is")
  worlds.promote(run, deployment)


@pytest.mark.parametrize("place", ["", "deployment", "checkpoints/deep/er"])
def test_a_deployment_within_a_checkpoint_is_refused(run, runs, place):
  for step in (run, runs[0]):
    before = worlds.tree(step)
    with pytest.raises(errors.UserError, match="lies in the checkpoint"):
      worlds.promote(run, step / place)
    assert worlds.tree(step) == before
