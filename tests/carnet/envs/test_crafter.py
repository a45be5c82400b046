"""Crafter behind our protocol, against crafter itself."""

import functools
import sys

import numpy as np
import pytest

from carnet import envs, errors
from carnet.envs import contract

crafter = pytest.importorskip("crafter")


@pytest.fixture
def small_world(monkeypatch):
  """A world of 32x32, which is generated four times as fast."""
  small = functools.partial(crafter.Env, area=(32, 32))
  monkeypatch.setattr(crafter, "Env", small)


def test_same_pictures_and_rewards_as_crafter():
  """Up to its first look at a set, whose order is that of the memory."""
  env, theirs = envs.make("crafter/reward"), crafter.Env(seed=11)
  step, expected = env.reset(11), theirs.reset()
  assert env.action_space.classes == len(theirs.action_names) == 17
  for action in contract.random_actions(env, 9):
    np.testing.assert_array_equal(step.observation["image"], expected)
    step = env.step(action)
    expected, reward, done, _ = theirs.step(int(action))
    assert (step.reward, step.is_last) == (reward, done)


@pytest.mark.usefixtures("small_world")
def test_obeys_the_protocol():
  """Long enough for creatures to be removed: crafter itself fails this."""
  env = envs.make("crafter/reward")
  actions = contract.random_actions(env, 150)
  contract.check(lambda: envs.make("crafter/reward"), actions, seed=1)


@pytest.mark.usefixtures("small_world")
def test_achievements_are_counted_and_rewarded_once():
  env, silent = envs.make("crafter/reward"), envs.make("crafter/noreward")
  env.reset(0)
  silent.reset(0)
  assert set(env.achievements) == set(crafter.constants.achievements)
  assert not any(env.achievements.values())
  sleep = crafter.constants.actions.index("sleep")
  for one in (env, silent):
    one._env._player.inventory["energy"] = 8
  rewards = []
  for step in range(10):
    rewards.append(env.step(sleep, observe=False).reward)
    assert silent.step(sleep, observe=False).reward == 0
    one = env._env._player
    one.inventory["energy"], one.sleeping = 9, step < 3
  assert env.achievements["wake_up"] > 0
  assert rewards.count(1.0) == 1


@pytest.mark.usefixtures("small_world")
def test_the_limit_is_not_terminal_and_death_is():
  env = envs.make("crafter/reward", length=3)
  env.reset(0)
  steps = [env.step(0, observe=False) for _ in range(3)]
  assert [s.is_last for s in steps] == [False, False, True]
  assert not steps[-1].is_terminal
  with pytest.raises(RuntimeError, match="reset"):
    env.step(0)
  env.reset(0)
  env._env._player.health = 0
  step = env.step(0)
  assert (step.is_last, step.is_terminal) == (True, True)


@pytest.mark.usefixtures("small_world")
def test_a_film_changes_nothing():
  """Although its noise is drawn from the numbers that move the creatures."""
  played = []
  for filmed in (False, True):
    env = envs.make("crafter/reward", image_size=32, render_size=99)
    env.reset(5)
    for _ in range(180):  # into the night, whose pictures are noisy
      env._env._player.health = 9
      step = env.step(0, observe=False)
      if filmed:
        assert env.render("any").shape == (99, 99, 3)
    assert not step.is_last
    played.append(env.observe()["image"])
  assert played[0].shape == (32, 32, 3)
  np.testing.assert_array_equal(*played)


def test_mistakes_are_one_line(monkeypatch):
  with pytest.raises(errors.UserError, match="'crafter/reward'"):
    envs.make("crafter/rewards")
  with pytest.raises(errors.UserError, match="did you mean 'image_size'"):
    envs.make("crafter/reward", images_size=64)
  with pytest.raises(errors.UserError, match="length=0"):
    envs.make("crafter/reward", length=0)
  monkeypatch.setitem(sys.modules, "crafter", None)
  with pytest.raises(
    errors.UserError, match=r"pip install 'carnet\[crafter\]'"
  ):
    envs.make("crafter/reward")


@pytest.mark.usefixtures("small_world")
def test_an_action_beyond_the_last_is_refused():
  env = envs.make("crafter/reward")
  env.reset(0)
  for action in (-1, 17):
    with pytest.raises(errors.UserError, match="0 to 16"):
      env.step(action)
