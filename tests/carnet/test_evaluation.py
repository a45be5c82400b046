"""What is asked of an evaluation, and where its results may lie."""

import types

import pytest

from carnet import errors, evaluation
from carnet.checkpoint import directory


@pytest.fixture
def step(tmp_path):
  """Returns a step directory, and a link to it beside it."""
  path = tmp_path / "checkpoints" / "000000030"
  path.mkdir(parents=True)
  (path.parent / "link").symlink_to(path)
  return path


def _evaluate(step, output):
  """Stops, at the latest, where the manifest would be read."""
  loaded = types.SimpleNamespace(step_directory=step)
  evaluation.evaluate(lambda: loaded, range(1), output)


@pytest.mark.parametrize("name", ["", "ev", "ev/deeper", "../link/ev"])
def test_no_results_are_written_into_a_checkpoint(step, name):
  for evaluated in (step, step.parent / "link"):
    with pytest.raises(errors.UserError, match="lies in the checkp") as found:
      _evaluate(evaluated, step / name)
    assert str(step) in str(found.value)
    assert "\n" not in str(found.value)
  assert list(step.iterdir()) == []


def test_no_results_are_written_into_another_checkpoint(step, tmp_path):
  other = tmp_path / "other"
  other.mkdir()
  (other / directory.PASSPORT).touch()
  with pytest.raises(errors.UserError, match=f"lies in the checkpoint {other}"):
    _evaluate(step, other / "ev")
  assert not (other / "ev").exists()


def test_results_beside_a_checkpoint_are_none_of_it(step):
  with pytest.raises(errors.UserError, match=r"manifest\.json"):
    _evaluate(step, step.parent / "ev")


def test_options_are_those_of_the_family():
  known = {"n_action_steps": 1, "temporal_ensemble": 2}
  assert evaluation.chosen(None, known) == {}
  given = {"n_action_steps": 0, "temporal_ensemble": None}
  assert evaluation.chosen(given, known) == {"n_action_steps": 0}
  with pytest.raises(errors.UserError, match="mean 'n_action_steps'"):
    evaluation.chosen({"n_action_step": None}, known)
  with pytest.raises(errors.UserError, match="unknown option of execution '7'"):
    evaluation.chosen({7: 1}, known)
  with pytest.raises(errors.UserError, match="overrides are list: give a dict"):
    evaluation.chosen(["n_action_steps"], known)
