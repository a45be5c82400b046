"""Wrappers keep the laws, and do their one thing."""

import numpy as np
import pytest

from carnet import envs, errors
from carnet.envs import base, contract, spaces, wrappers


class Recorder:
  """Rewards 1, 2, 4, ...; writes down its actions and who looked."""

  control_hz = 12.0
  success_reward: float | None = 4.0

  def __init__(self, action_space, ends_at=100):
    self.action_space = action_space
    self.observation_space = {"qpos": base.Space((), "float32")}
    self.ends_at, self.count = ends_at, None

  def reset(self, seed, observe=True):
    self.count, self.actions, self.looks = 0, [], []
    seen = self.observe() if observe else None
    return base.Step(seen, 0.0, True, False, False)

  def step(self, action, observe=True):
    if self.count is None or self.count == self.ends_at:
      raise RuntimeError("call reset()")
    self.count += 1
    self.actions.append(action)
    self.looks.append(observe)
    ends = self.count == self.ends_at
    seen = self.observe() if observe else None
    return base.Step(seen, 2.0 ** (self.count - 1), False, ends, ends)

  def observe(self):
    return {"qpos": np.array(self.count, np.float32)}

  def render(self, camera):
    return np.zeros((4, 4, 3), np.uint8)

  def close(self):
    self.count = None


BOX = base.Space((3,), "float32", (-1.0, 0.0, -np.inf), (1.0, 4.0, 2.0))
TURN = base.Space((), "int32", 0.0, 2.0, 3)
WRAPPERS = {
  "repeat": lambda env: wrappers.ActionRepeat(env, 3),
  "normalized": wrappers.NormalizedActions,
  "limit": lambda env: wrappers.StepLimit(env, 4),
  "all": lambda env: wrappers.NormalizedActions(
    wrappers.StepLimit(wrappers.ActionRepeat(env, 2), 3)
  ),
}


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("space", [BOX, TURN, {"arm": BOX, "turn": TURN}])
def test_wrapped_environments_obey_the_protocol(name, space):
  def make():
    return WRAPPERS[name](Recorder(space, ends_at=10))

  contract.check(make, contract.random_actions(make(), 12))
  assert make().success_reward == 4
  assert make().render("any").shape == (4, 4, 3)


def test_repeated_rewards_add_up_and_only_the_last_step_is_seen():
  env = wrappers.ActionRepeat(Recorder(TURN, ends_at=5), 3)
  assert env.control_hz == 4
  env.reset(0)
  step = env.step(1)
  assert (step.reward, step.is_last) == (1 + 2 + 4, False)
  assert env.env.looks == [False, False, True]
  assert env.env.actions == [1, 1, 1]
  step = env.step(2)  # the end comes first, and is seen
  assert (step.reward, step.is_last, step.is_terminal) == (8 + 16, True, True)
  assert step.observation["qpos"] == 5


def test_repeats_equal_as_many_steps():
  name = "dmc/point_mass_easy"
  one, other = envs.make(name), wrappers.ActionRepeat(envs.make(name), 2)
  one.reset(3)
  other.reset(3)
  for action in contract.random_actions(one, 5):
    rewards = [one.step(action).reward for _ in range(2)]
    step = other.step(action)
    assert step.reward == sum(rewards)
    np.testing.assert_array_equal(
      step.observation["position"], one.observe()["position"]
    )


def test_bounded_actions_span_minus_one_to_one_and_are_clipped():
  env = wrappers.NormalizedActions(Recorder(BOX))
  low, high = spaces.bounds(env.action_space)
  np.testing.assert_array_equal(low, [-1, -1, -np.inf])
  np.testing.assert_array_equal(high, [1, 1, 2])
  env.reset(0)
  for action in ([1, 1, 9], [-3, -3, -9], [0.5, 0, 0.25]):
    env.step(np.array(action, np.float32))
  np.testing.assert_array_equal(
    env.env.actions, [[1, 4, 9], [-1, 0, -9], [0.5, 2, 0.25]]
  )


def test_actions_of_the_suite_reach_its_bounds():
  env = wrappers.NormalizedActions(envs.make("dmc/quadruped_walk"))
  assert env.action_space == base.Space((12,), "float32", -1.0, 1.0)
  env.reset(0)
  env.step(np.full(12, 5, np.float32))
  limits = env.env._env.action_spec().maximum
  assert limits.max() == pytest.approx(1.1)
  np.testing.assert_array_equal(env.env._env.physics.control(), limits)


def test_discrete_and_unbounded_actions_pass():
  env = wrappers.NormalizedActions(Recorder({"arm": BOX, "turn": TURN}))
  assert env.action_space["turn"] == TURN
  env.reset(0)
  env.step({"arm": np.zeros(3, np.float32), "turn": 2})
  assert env.env.actions[0]["turn"] == 2
  np.testing.assert_array_equal(env.env.actions[0]["arm"], [0, 2, 0])
  free = wrappers.NormalizedActions(envs.make("dmc/lqr_lqr_2_1"))
  assert free.action_space == free.env.action_space
  assert free.action_space.high == (np.inf,)


def test_the_limit_is_not_terminal():
  env = wrappers.StepLimit(Recorder(TURN), 2)
  for _ in range(2):
    env.reset(0)
    steps = [env.step(0), env.step(0)]
    assert [s.is_last for s in steps] == [False, True]
    assert not steps[-1].is_terminal
    with pytest.raises(RuntimeError, match="reset"):
      env.step(0)


def test_counts_below_one_are_refused():
  with pytest.raises(errors.UserError, match="repeat of 0"):
    wrappers.ActionRepeat(Recorder(TURN), 0)
  with pytest.raises(errors.UserError, match="limit of 0"):
    wrappers.StepLimit(Recorder(TURN), 0)


def test_random_actions_fill_their_space():
  generator = np.random.default_rng(0)
  space = {
    "arm": BOX,
    "turn": TURN,
    "pair": base.Space((2, 2), "int32", 0.0, 1.0, 2),
  }
  drawn = [spaces.sample(space, generator) for _ in range(300)]
  arms = np.stack([d["arm"] for d in drawn])
  assert arms.dtype == np.float32
  assert np.all(arms[:, :2] >= [-1, 0])
  assert np.all(arms[:, :2] <= [1, 4])
  np.testing.assert_allclose(arms.mean(0), [0, 2, 0], atol=0.25)
  assert {int(d["turn"]) for d in drawn} == {0, 1, 2}
  assert drawn[0]["pair"].shape == (2, 2)
