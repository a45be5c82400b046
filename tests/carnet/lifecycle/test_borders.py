"""Nothing leads out of a deployment, and two never switch at once."""

import shutil

import pytest
import worlds

from carnet import errors
from carnet.checkpoint import digest, directory
from carnet.lifecycle import deployment as deployment_lib
from carnet.lifecycle import status


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


def test_a_deployment_within_the_checkpoint_is_refused(run):
  with pytest.raises(errors.UserError, match="lies in the checkpoint"):
    worlds.promote(run, run / "deployment")
  assert not (run / "deployment").exists()
