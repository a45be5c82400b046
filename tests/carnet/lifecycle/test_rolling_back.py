"""Back to what was promoted before, which is examined again."""

import os
import shlex
import shutil
import subprocess

import pytest
import worlds

from carnet import errors
from carnet.lifecycle import deployment as deployment_lib
from carnet.lifecycle import effective, gate, history, status


def _current(deployment):
  return os.readlink(deployment / "current").removeprefix("checkpoints/")


@pytest.fixture
def promoted(runs, deployment):
  """Returns the names of three checkpoints that were promoted in turn."""
  return [worlds.promote(step, deployment).checkpoint for step in runs]


def test_each_rollback_goes_one_further_until_nothing_is_left(
  promoted, deployment
):
  a, b, c = promoted
  assert worlds.rollback(deployment).checkpoint == b
  record = worlds.rollback(deployment, reason="worse still")
  assert (record.action, record.checkpoint, record.previous) == (
    *("rollback", a),
    b,
  )
  assert record.success.rate == 0.9
  assert _current(deployment) == a
  with pytest.raises(errors.UserError, match="nothing came before") as found:
    worlds.rollback(deployment)
  assert not isinstance(found.value, gate.Refused)
  assert _current(deployment) == a
  assert len(worlds.lines(deployment)) == 5
  assert c != a


def test_what_was_rolled_back_from_is_skipped(runs, deployment):
  a, b, c = runs
  first = worlds.promote(a, deployment).checkpoint
  worlds.promote(b, deployment)
  worlds.rollback(deployment)
  worlds.promote(c, deployment)
  assert worlds.rollback(deployment).checkpoint == first
  with pytest.raises(errors.UserError, match="nothing came before"):
    worlds.rollback(deployment)


def test_promoting_the_same_again_is_one_place_on_the_way_back(
  runs, deployment
):
  a, b, _ = runs
  first = worlds.promote(a, deployment).checkpoint
  worlds.promote(b, deployment)
  worlds.promote(b, deployment)
  assert worlds.rollback(deployment).checkpoint == first


def test_a_name_is_a_step_or_the_beginning_of_a_passport(promoted, deployment):
  a, b, c = promoted
  with pytest.raises(errors.UserError, match="means several checkpoints"):
    worlds.rollback(deployment, "30")
  assert worlds.rollback(deployment, a[:8]).checkpoint == a
  # c was rolled back from, and is asked for by name
  assert worlds.rollback(deployment, c).checkpoint == c
  with pytest.raises(errors.UserError, match="is the current one already"):
    worlds.rollback(deployment, c[:10])
  for unknown in ("f" * 16, "12", a[:3]):
    with pytest.raises(errors.UserError, match="unknown checkpoint"):
      worlds.rollback(deployment, unknown)
  assert b in promoted


def test_a_step_names_its_only_checkpoint(run, runs, deployment):
  worlds.promote(run, deployment)
  with pytest.raises(errors.UserError, match="current one already"):
    worlds.rollback(deployment, "30")


def test_what_is_damaged_is_not_gone_back_to(promoted, deployment):
  a, b, c = promoted
  (deployment / "checkpoints" / b / "config.json").unlink()
  with pytest.raises(gate.Refused, match="weight_sizes") as refusal:
    worlds.rollback(deployment)
  assert refusal.value.exit_code == 1
  assert _current(deployment) == c
  assert len(worlds.lines(deployment)) == 3
  assert worlds.rollback(deployment, a[:12]).checkpoint == a


def test_another_signed_checkpoint_in_its_place_is_not_it(
  runs, promoted, deployment
):
  a, b, c = promoted
  place = deployment / "checkpoints" / b
  shutil.rmtree(place)
  shutil.copytree(runs[0], place)
  with pytest.raises(gate.Refused, match="is not what the history says"):
    worlds.rollback(deployment)
  shutil.rmtree(place)
  place.symlink_to(runs[1])
  with pytest.raises(errors.UserError, match="behind a link"):
    worlds.rollback(deployment)
  assert _current(deployment) == c
  assert a in promoted


def test_status_knows_another_signed_checkpoint_in_place_of_the_current(
  runs, promoted, deployment
):
  place = deployment / "checkpoints" / promoted[-1]
  assert status.status(deployment).path == place
  shutil.rmtree(place)
  shutil.copytree(runs[0], place)
  with pytest.raises(gate.Refused, match="is not what the history says"):
    status.status(deployment)


def test_a_switch_by_somebody_else_is_found(promoted, deployment):
  (deployment / "current").unlink()
  (deployment / "current").symlink_to(f"checkpoints/{promoted[0]}")
  for look in (status.status, worlds.rollback):
    with pytest.raises(errors.UserError, match="somebody else has switched"):
      look(deployment)


def test_a_current_that_was_removed_is_told_and_put_back(promoted, deployment):
  a, b, c = promoted
  (deployment / "current").unlink()
  back = f"ln -s checkpoints/{c} {deployment}/current"
  for look in (status.status, worlds.rollback):
    with pytest.raises(errors.UserError, match="somebody removed") as told:
      look(deployment)
    assert "its history has 3 switches" in str(told.value)
    assert back in str(told.value)
  with deployment_lib.opened(deployment) as found:
    switches = found.history().switches
  (note,) = status.notes(deployment, switches, b"", None)
  assert back in note
  subprocess.run(shlex.split(back), cwd=deployment, check=True)
  assert status.status(deployment).notes == ()
  assert worlds.rollback(deployment).checkpoint == b
  assert a in promoted


def test_an_only_current_that_was_removed_is_promoted_again(run, deployment):
  name = worlds.promote(run, deployment).checkpoint
  (deployment / "current").unlink()
  message = f"promotion of {name} was interrupted .* or somebody removed"
  for look in (status.status, worlds.rollback):
    with pytest.raises(errors.UserError, match=message):
      look(deployment)
  worlds.promote(run, deployment)
  assert status.status(deployment).path.name == name


def test_a_deployment_without_anything_has_nothing_to_go_back_to(deployment):
  with pytest.raises(errors.UserError, match="is no deployment directory"):
    worlds.rollback(deployment)
  deployment.mkdir()
  with pytest.raises(errors.UserError, match="nothing to roll back to"):
    worlds.rollback(deployment)
  with pytest.raises(errors.UserError, match="nothing is promoted"):
    status.status(deployment)


def test_a_record_whose_switch_was_killed_does_not_count(runs, deployment):
  a, b, c = (worlds.promote(step, deployment) for step in runs)
  found = (a, b, c)
  assert effective.flags(found, b.checkpoint) == (True, True, False)
  assert effective.previous(found, b.checkpoint) == a
  assert effective.of_current(found, b.checkpoint) == b
  later = c.model_copy(update={"previous": b.checkpoint})
  killed_twice = (a, b, c, later)
  assert effective.flags(killed_twice, b.checkpoint) == (
    *(True, True),
    *(False, False),
  )
  assert history.History().switches == ()
