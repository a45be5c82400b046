"""Evaluation with nothing but a step directory, wherever it was moved."""

import functools
import json
import shutil

import av
import jax
import numpy as np
import pytest
import tiny_loop
from absl import flags
from absl.testing import flagsaver

from carnet import checkpoint, errors, evaluation
from dreamer import evaluation as dreamer_evaluation


def _moved(workdir, to):
  """Copies the newest step: no workdir, no chunks, no metrics."""
  newest = tiny_loop.steps(workdir)[-1]
  shutil.copytree(workdir / f"checkpoints/{newest:09d}", to)
  return to


@pytest.fixture(scope="module")
def eval_script(load_script):
  """Returns scripts/eval.py as a module."""
  return load_script("eval")


@pytest.fixture
def script(eval_script):
  """Returns a function that runs scripts/eval.py here."""

  def call(**given):
    values = {k: str(x) for k, x in given.items()} | {"no_passport": "true"}
    with flagsaver.as_parsed(**values):
      eval_script.main(["eval.py"])

  flags.FLAGS.mark_as_parsed()
  yield call
  flags.FLAGS.unparse_flags()


def _frames(path):
  with av.open(str(path)) as film:
    return [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]


def test_catch_from_the_command_line(catch_run, tmp_path, script, capsys):
  moved = _moved(catch_run, tmp_path / "elsewhere")
  script(checkpoint=moved, episodes=3, actions="mode", output=tmp_path / "out")
  found = json.loads((tmp_path / "out/results.json").read_text())
  assert (found["step"], found["task"]) == (288, "catch")
  assert found["execution"] == {"actions": "mode"}
  assert [x["length"] for x in found["per_episode"]] == [9, 9, 9]
  assert [x["seed"] for x in found["per_episode"]] == [0, 1, 2]
  returns = [x["total_reward"] for x in found["per_episode"]]
  assert set(returns) <= {-1.0, 1.0}
  assert found["summary"]["success_rate"] == np.mean([x > 0 for x in returns])
  (video,) = (tmp_path / "out").glob("*.mp4")
  assert [x.shape for x in _frames(video)] == [(256, 256, 3)] * 9
  assert "success ever" in capsys.readouterr().out


def test_options_of_the_other_family_are_refused(catch_run, tmp_path, script):
  with pytest.raises(errors.UserError, match="--n_action_steps is an option"):
    script(checkpoint=catch_run, n_action_steps=3)
  with checkpoint.Checkpoint(tmp_path / "act", verbose=False) as saved:
    saved.register("agent", {"x": np.zeros(1)})
    saved.attach("config.json", {"agent": "act"})
    saved.save(1)
  with pytest.raises(errors.UserError, match=r"--actions is an option of dre"):
    script(checkpoint=tmp_path / "act", actions="mode")


def test_control_is_filmed_and_acting_is_as_configured(walker_run, tmp_path):
  moved = _moved(walker_run, tmp_path / "elsewhere")
  report = evaluation.evaluate(
    functools.partial(dreamer_evaluation.load, moved, {"actions": None}),
    seeds=range(2),
    output=tmp_path / "out",
    video_height=48,
  )
  found = json.loads(report.results.read_text())
  assert found["execution"] == {"actions": "sample"}
  assert found["environment"]["repeat"] == 2
  assert found["summary"]["success_rate"] is None
  # 1000 frames, two for each action
  assert [x["length"] for x in found["per_episode"]] == [500, 500]
  (video,) = report.videos
  frames = _frames(video)
  assert [x.shape[0] for x in frames] == [48] * 500
  assert np.std(frames[0]) > 5
  assert np.abs(frames[0].astype(int) - frames[-1]).max() > 50


def test_a_workdir_stands_for_its_newest_step(catch_run):
  loaded = dreamer_evaluation.load(catch_run)
  assert loaded.step_directory.name == "000000288"


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    ({"action": "mode"}, "unknown option of execution 'action': did you mean"),
    ({"n_action_steps": 1}, "unknown option of execution 'n_action_steps'"),
    ({"actions": "mod"}, "unknown way to act 'mod': did you mean 'mode'"),
    ({"actions": ""}, "unknown way to act ''"),
    ({"actions": 1}, "unknown way to act '1'"),
    ({"actions": ["mode"]}, "unknown way to act"),
  ],
)
def test_other_options_and_values_are_one_line(catch_run, overrides, message):
  with pytest.raises(errors.UserError, match=message) as found:
    dreamer_evaluation.load(catch_run, overrides)
  assert "\n" not in str(found.value)


def test_no_other_component_is_read(catch_run, tmp_path):
  moved = _moved(catch_run, tmp_path / "elsewhere")
  shutil.rmtree(moved / "loop")
  (moved / "replay/state.json").write_text("rotten")
  spoiled = dreamer_evaluation.load(moved)
  whole = dreamer_evaluation.load(catch_run)
  seen = {"image": np.zeros((2, 16, 16, 1), np.uint8)}
  key = jax.random.key(0)
  (first, _), _ = spoiled.policy.act(spoiled.policy.init(2), seen, key)
  (second, _), _ = whole.policy.act(whole.policy.init(2), seen, key)
  np.testing.assert_array_equal(first.latent.deter, second.latent.deter)


def test_files_that_hold_parameters_are_verified(catch_run, tmp_path):
  moved = _moved(catch_run, tmp_path / "elsewhere")
  largest = max(
    (x for x in (moved / "agent").rglob("*") if x.is_file()),
    key=lambda x: x.stat().st_size,
  )
  content = bytearray(largest.read_bytes())
  content[len(content) // 2] ^= 1
  largest.write_bytes(content)
  with pytest.raises(checkpoint.CorruptError, match=largest.name):
    dreamer_evaluation.load(moved)


def test_another_environment_is_refused(catch_run, tmp_path, monkeypatch):
  from carnet.envs import base, jax_env

  space = {"image": base.Space((16, 16, 3), "uint8", 0.0, 255.0)}
  original = jax_env.make

  def other(task):
    env = original(task)
    env.observation_space = space
    return env

  monkeypatch.setattr(jax_env, "make", other)
  with pytest.raises(
    errors.UserError, match=r"'image' was an image \(16, 16, 1"
  ):
    dreamer_evaluation.load(catch_run)
