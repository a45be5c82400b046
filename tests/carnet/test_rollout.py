"""Lock-step evaluation against one episode at a time, and its arithmetic."""

import json

import av
import jax
import numpy as np
import pytest

from carnet import rollout
from carnet.envs import base


class Counter:
  """Reward = number of actions above the seed's threshold, up to 4."""

  action_space = base.Space((1,), "float32")
  control_hz = 50.0
  success_reward = 4.0

  def __init__(self):
    self.observation_space = {"qpos": base.Space((1,), "float32")}
    self.looks = 0
    self.closed = False

  def reset(self, seed, observe=True):
    self._seed, self._step, self._reward = seed, 0, 0.0
    return self._result(observe, is_first=True)

  def step(self, action, observe=True):
    assert self._step < self._length, "stepped after the end"
    self._step += 1
    # seed 1 drops the cube again at its last step
    dropped = self._seed == 1 and self._step == self._length
    self._reward = 1.0 if dropped else min(4.0, float(action[0]))
    return self._result(observe)

  @property
  def _length(self):
    return 6 + self._seed % 3

  def _result(self, observe, is_first=False):
    last = self._step == self._length
    seen = self.observe() if observe else None
    return base.Step(seen, self._reward, is_first, last, False)

  def observe(self):
    self.looks += 1
    return {"qpos": np.array([self._seed * 100 + self._step], np.float32)}

  def render(self, camera):
    shade = {"top": 10 * self._step, "side": 255}[camera]
    return np.full((32, 48, 3), shade, np.uint8)

  def close(self):
    self.closed = True


class Chunks:
  """Looks every third step; acts with the step it looked at."""

  def init(self, batch_size):
    return (None, 3)

  def needs_observation(self, carry):
    return carry[1] == 3

  def act(self, carry, observation, key):
    seen, used = carry
    if used == 3:
      seen, used = observation["qpos"] % 100, 0
    else:
      assert observation is None
    return (seen, used + 1), seen + used


def _evaluate(seeds):
  made = []

  def make():
    made.append(Counter())
    return made[-1]

  return rollout.evaluate(make, Chunks(), seeds, jax.random.key(0)), made


def test_lock_step_equals_one_by_one():
  together, _ = _evaluate(range(5))
  for seed, episode in enumerate(together.episodes):
    alone = _evaluate([seed])[0].episodes[0]
    assert alone.row() == episode.row()
    np.testing.assert_array_equal(alone.actions, episode.actions)


def test_rewards_by_hand():
  # actions are 0 1 2 3 4 5 ..., rewards min(4, action), 6 or 7 or 8 steps;
  # seed 1 has seven steps and ends with reward 1
  first, second = _evaluate([0, 1])[0].episodes
  assert first.row() == {
    "seed": 0,
    "length": 6,
    "total_reward": 0 + 1 + 2 + 3 + 4 + 4,
    "highest_reward": 4.0,
    "last_reward": 4.0,
    "success": True,
    "held": True,
    "first_success_step": 4,
    "is_cut": False,
  }
  assert (second.success, second.held) == (True, False)
  assert second.last_reward == 1.0


def test_only_queries_render_and_all_is_closed():
  _, made = _evaluate([0, 3])  # six steps each: looks at 0 and 3
  assert [one.looks for one in made] == [2, 2]
  assert all(one.closed for one in made)


def test_summary_counts_and_intervals(tmp_path):
  evaluation, _ = _evaluate([0, 1, 2, 4])
  found = evaluation.summary()
  assert (found["successes"], found["success_rate"]) == (4, 1.0)
  assert found["held_rate"] == 0.75
  # Wilson, 4 of 4: 1 - (z²/n) / (1 + z²/n) = 4 / (4 + 3.8415)
  assert found["low"] == pytest.approx(0.5101, abs=1e-4)
  assert found["highest_reward_histogram"] == {"4": 4}
  evaluation.write(tmp_path / "results.json", {"task": "counting"})
  report = json.loads((tmp_path / "results.json").read_text())
  assert report["task"] == "counting"
  assert [row["seed"] for row in report["per_episode"]] == [0, 1, 2, 4]


def test_a_policy_that_fails_still_closes_the_environments():
  made = []

  class Broken(Chunks):
    def act(self, carry, observation, key):
      raise RuntimeError("no action")

  def make():
    made.append(Counter())
    return made[-1]

  with pytest.raises(RuntimeError, match="no action"):
    rollout.evaluate(make, Broken(), [0, 1], jax.random.key(0))
  assert all(one.closed for one in made)


def test_video_replays_the_episode(tmp_path):
  actions = np.zeros((6, 1), np.float32)
  path = tmp_path / "episode.mp4"
  rollout.record(Counter(), 0, list(actions), "top", path, every_steps=2)
  with av.open(str(path)) as container:
    stream = container.streams.video[0]
    assert float(stream.average_rate) == 25.0
    frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
  assert [frame.shape for frame in frames] == [(32, 48, 3)] * 3
  shades = [float(frame.mean()) for frame in frames]
  np.testing.assert_allclose(shades, [0, 20, 40], atol=3)
  assert list(tmp_path.iterdir()) == [path]


def test_episodes_without_an_end_are_cut():
  class Endless(Counter):
    _length = 10**9

  found = rollout.evaluate(
    Endless, Chunks(), [0, 1], jax.random.key(0), limit=5
  )
  assert [(e.length, e.is_cut) for e in found.episodes] == [(5, True)] * 2
  ended, _ = _evaluate([0])
  assert not ended.episodes[0].is_cut


def test_an_evaluation_stops_when_it_is_told():
  asked = []

  def stop():
    asked.append(True)
    return len(asked) == 4

  with pytest.raises(rollout.Stopped):
    rollout.evaluate(Counter, Chunks(), [0], jax.random.key(0), stop=stop)
  assert len(asked) == 4


@pytest.mark.parametrize("reward", [float("nan"), None])
def test_an_environment_that_fails_is_named(reward):
  class Failing(Counter):
    def step(self, action, observe=True):
      if reward is None:
        raise ZeroDivisionError("of a simulator")
      return base.Step(None, reward, False, False, False)

  with pytest.raises(rollout.EnvironmentFailed, match="seed 3") as caught:
    rollout.evaluate(Failing, Chunks(), [3], jax.random.key(0))
  told = "nan" if reward is not None else "ZeroDivisionError of a simulator"
  assert told in str(caught.value)
