"""Episodes, metrics and schedules, by arithmetic."""

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_loop

from carnet import errors
from carnet.envs import vector
from dreamer import episodes, learner, monitor, run, spaces


def _seen(rewards, first=(), last=()):
  count = len(rewards)
  flags = [np.isin(np.arange(count), where) for where in (first, last)]
  return vector.Batch(
    {}, np.array(rewards, np.float32), *flags, np.zeros(count, bool)
  )


def test_returns_and_lengths():
  counted = episodes.Episodes(2)
  assert counted(_seen([1, 10])) == []
  assert counted(_seen([2, 20], last=[1])) == [
    {"return": 30.0, "length": 2, "environment": 1}
  ]
  # the first step of an episode is no step of the policy in it
  assert counted(_seen([4, 99], first=[1])) == []
  assert counted(_seen([8, 40], last=[0, 1])) == [
    {"return": 15.0, "length": 4, "environment": 0},
    {"return": 40.0, "length": 1, "environment": 1},
  ]
  assert (counted.steps, counted.ended) == (8, 3)


def test_an_environment_that_was_replaced_begins_anew():
  counted = episodes.Episodes(1)
  counted(_seen([5]))
  counted(_seen([0], first=[0]))
  assert counted(_seen([1], last=[0])) == [
    {"return": 1.0, "length": 1, "environment": 0}
  ]


def test_episodes_in_progress_go_on():
  counted, other = episodes.Episodes(2), episodes.Episodes(2)
  counted(_seen([1, 10]))
  other.load_state(json.loads(json.dumps(counted.state())))
  for each in (counted, other):
    (ended,) = each(_seen([2, 20], last=[0]))
    assert ended["return"] == 3.0
  assert other.state() == counted.state()
  with pytest.raises(errors.UserError, match="had 2 environments, not 3"):
    episodes.Episodes(3).load_state(counted.state())


@pytest.fixture
def log(tmp_path):
  config = tiny_loop.walker()  # two frames a step; a line every 40 steps
  made = run.Log(config, tmp_path, 0, stride=10)
  yield made
  made.close()


def _lines(tmp_path):
  return tiny_loop.lines(tmp_path)


def test_means_since_the_last_line(log, tmp_path):
  log.add([{"opt/loss": jnp.array([1.0, 2.0]), "x": jnp.array([3.0, 3.0])}])
  log.add([{"opt/loss": jnp.array([6.0]), "x": jnp.array([9.0])}])
  assert log(30, {"replay/steps": 30}) == ""
  note = log(40, {"replay/steps": 40})
  assert "updates/s" in note
  log(80, {})  # nothing was learned meanwhile
  assert _lines(tmp_path) == [
    {
      "step": 40,
      "frames": 80,
      "train/opt/loss": 3.0,
      "train/x": 5.0,
      "replay/steps": 40,
    },
    {"step": 80, "frames": 160},
  ]
  text = (tmp_path / "metrics.jsonl").read_text()
  first = json.loads(text.splitlines()[0])
  ratio = first["fps/updates"] / first["fps/policy"]
  assert ratio == pytest.approx(3 / 40)


def test_a_save_flushes_once(log, tmp_path):
  log.add([{"opt/loss": jnp.array([1.0])}])
  log.flush(20, {})
  log.flush(20, {})
  log.add([{"opt/loss": jnp.array([5.0])}])
  log(40, {})
  losses = [(x["step"], x["train/opt/loss"]) for x in _lines(tmp_path)]
  assert losses == [(20, 1.0), (40, 5.0)]


def test_dispatches_without_an_episode_do_not_count(log, tmp_path):
  for value in (np.nan, 2.0, np.nan, 4.0):
    log.add([{"episode/return": jnp.float32(value)}])
  assert log(40, {}).startswith("return 3")
  assert _lines(tmp_path)[0]["episode/return"] == 3.0
  log.add([{"episode/return": jnp.float32(np.nan)}])
  log(80, {})
  assert "episode/return" not in _lines(tmp_path)[1]


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_no_number_stops_before_anything_is_saved(log, loss):
  log.add([{"opt/loss": jnp.array([1.0, loss])}])
  with pytest.raises(errors.UserError, match=r"lower --config\.opt"):
    log.flush(20, {})


def test_episodes_are_lines_of_their_own(log, tmp_path):
  ended = [{"return": 7.0, "length": 3, "environment": 1}]
  log.episodes(10, ended)
  assert _lines(tmp_path) == [
    {
      "step": 10,
      "frames": 20,
      "episode/return": 7.0,
      "episode/length": 3,
      "episode/environment": 1,
    }
  ]


def test_the_monitor_keeps_its_two_schedules(tmp_path, monkeypatch):
  config = tiny_loop.cartpole()
  config.evaluation.update(every_steps=20, video_every_steps=30)
  spec = learner.Spec(
    {"place": spaces.Space((2,))}, {"action": spaces.Space((), 2)}
  )
  watch = monitor.Monitor(config, spec, None, tmp_path, stride=4)
  done = []
  monkeypatch.setattr(
    watch, "_play", lambda params: done.append("play") or {"evaluation/x": 1.0}
  )
  monkeypatch.setattr(
    watch, "_film", lambda step, params, found: {"openloop/x": 2.0}
  )
  found = {
    step: list(watch(step, {}, lambda: {"place": np.zeros(1)}))
    for step in range(4, 64, 4)
  }
  assert {step: names for step, names in found.items() if names} == {
    20: ["evaluation/x"],
    32: ["openloop/x"],  # the multiples that are jumped over
    40: ["evaluation/x"],
    60: ["evaluation/x", "openloop/x"],
  }
  assert watch(120, {}, lambda: None) == {"evaluation/x": 1.0}


def test_films_need_av_from_the_first_step(tmp_path, monkeypatch):
  config = tiny_loop.catch()
  spec = learner.Spec(
    {"image": spaces.Space((16, 16, 1), is_image=True)},
    {"action": spaces.Space((), 3)},
  )
  monkeypatch.setitem(sys.modules, "av", None)
  with pytest.raises(errors.UserError, match=r"pip install 'carnet\[data\]'"):
    monitor.Monitor(config, spec, None, tmp_path, stride=4)
  config.evaluation.video_every_steps = 0
  monitor.Monitor(config, spec, None, tmp_path, stride=4)
