"""Environments in JAX behind the protocol: Catch, and what they refuse."""

import importlib.util
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnet import envs, errors
from carnet.envs import base, catch, contract, functional, jax_env, vector


def _column(env):
  """Returns the ball's column, in the picture."""
  top = env.observe()["image"][0, :, 0]
  return int(np.flatnonzero(top)[0]) // 3


def test_catch_obeys_the_protocol():
  contract.check(lambda: envs.make("catch"), np.arange(12, dtype=np.int32) % 3)


def test_going_below_the_ball_is_success():
  env = envs.make("catch")
  assert (env.control_hz, env.success_reward) == (10.0, 1.0)
  for seed in range(10):
    env.reset(seed)
    paddle, column, steps = 2, _column(env), []
    while not steps or not steps[-1].is_last:
      move = int(np.sign(column - paddle))
      paddle += move
      steps.append(env.step(np.asarray(1 + move, np.int32)))
    assert [s.reward for s in steps] == [0.0] * 8 + [1.0]
    assert steps[-1].is_terminal


def test_seeds_name_episodes_of_all_columns():
  env = envs.make("catch")
  columns = []
  for seed in (*range(60), 2**32 - 1, 2**40 + 5):
    env.reset(seed)
    columns.append(_column(env))
  assert set(columns) == set(range(catch.COLUMNS))
  env.reset(5)
  assert _column(env) == columns[5] == columns[-1]


def test_environments_share_one_compilation():
  before = jax_env._compiled.cache_info().misses
  one, other = envs.make("catch"), envs.make("catch")
  assert one._step is other._step
  assert jax_env._compiled.cache_info().misses <= before + 1


def test_the_picture_is_the_image_enlarged():
  env = envs.make("catch")
  image = env.reset(0).observation["image"]
  picture = env.render("image")
  assert picture.shape == (256, 256, 3)
  np.testing.assert_array_equal(picture[::16, ::16], np.repeat(image, 3, -1))
  np.testing.assert_array_equal(env.render(""), picture)
  with pytest.raises(errors.UserError, match="unknown camera 'imag'"):
    env.render("imag")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_number_of_channels_becomes_a_picture(channels):
  image = np.zeros((2, 2, channels), np.uint8)
  image[0, 0, channels - 1] = 255
  picture = jax_env._colours(image)
  assert picture.shape == (2, 2, 3)
  assert picture[0, 0].any()
  assert not picture[1].any()


def test_actions_that_do_not_fit_are_refused():
  env = envs.make("catch")
  env.reset(0)
  with pytest.raises(errors.UserError, match="3 classes"):
    env.step(np.int32(3))
  with pytest.raises(errors.UserError, match=r"shape \[1\], not \[\]"):
    env.step(np.zeros(1, np.int32))


class Sum:
  """Adds noise and two actions; it shows no image, and never ends."""

  observation_space = {"total": base.Space((), "float32")}  # noqa: RUF012
  action_space = {  # noqa: RUF012
    "a": base.Space((2,), "float32"),
    "b": base.Space((), "int32", classes=2),
  }

  def reset(self, key):
    total = jax.random.normal(key)
    return total, _Shown(total, total, jnp.bool_(True), *[jnp.bool_(False)] * 2)

  def step(self, state, action, key):
    total = state + action["a"].sum() + action["b"].astype(jnp.float32)
    total = total + jax.random.normal(key)
    return total, _Shown(total, total, *[jnp.bool_(False)] * 3)


class _Shown(NamedTuple):
  total: Any
  reward: Any
  is_first: Any
  is_last: Any
  is_terminal: Any


def test_dictionaries_of_actions_and_keys_of_steps():
  env = jax_env.JaxEnv(Sum())
  action = {"a": np.zeros(2, np.float32), "b": np.int32(0)}
  env.reset(3)
  totals = [float(env.observe()["total"])]
  totals += [env.step(action).reward for _ in range(3)]
  noise = np.diff(totals)
  assert len({round(float(x), 6) for x in noise}) == 3  # a key for each step
  env.reset(3)
  moved = env.step({"a": np.array([1.0, 2.0], np.float32), "b": np.int32(1)})
  assert moved.reward == pytest.approx(totals[1] + 4, abs=1e-5)
  with pytest.raises(errors.UserError, match="dictionary with a, b"):
    env.step(np.zeros(2))
  with pytest.raises(errors.UserError, match="no image"):
    env.render("")


def test_catch_in_a_vector_resumes_exactly():
  def actions(t):
    return np.full(3, t % 3, np.int32)

  with vector.Vector(lambda: envs.make("catch"), 3) as one:
    one.reset()
    for t in range(24):
      one.step(actions(t))
    with vector.Vector(lambda: envs.make("catch"), 3) as other:
      other.load_state(one.state())
      for t in range(24, 40):
        a, b = one.step(actions(t)), other.step(actions(t))
        np.testing.assert_array_equal(
          a.observation["image"], b.observation["image"]
        )
        np.testing.assert_array_equal(a.reward, b.reward)


def test_environments_of_gymnax_go_by_their_names(monkeypatch):
  if importlib.util.find_spec("gymnax") is None:
    with pytest.raises(errors.UserError, match="pip install gymnax"):
      envs.make("gymnax:Catch-bsuite")
  monkeypatch.setattr(functional, "_from_gymnax", {"Catch-bsuite": catch}.get)
  env = envs.make("gymnax:Catch-bsuite")
  assert env.action_space == catch.action_space
  assert env.reset(0).is_first
