"""Catch: rules of the game, by hand and over every column."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnet.envs import catch

KEY = jax.random.key(0)


def _play(state, actions):
  timesteps = []
  for action in actions:
    state, timestep = jax.jit(catch.step)(state, jnp.int32(action), KEY)
    timesteps.append(timestep)
  return state, timesteps


@pytest.mark.parametrize("column", range(catch.COLUMNS))
def test_the_ball_is_caught_by_going_below_it(column):
  state = catch.State(jnp.int32(0), jnp.int32(column), jnp.int32(2))
  towards = [np.sign(column - 2) + 1] * abs(column - 2)
  still = [1] * (catch.ROWS - 1 - len(towards))
  _, timesteps = _play(state, towards + still)
  assert [float(t.reward) for t in timesteps] == [0.0] * 8 + [1.0]
  assert [bool(t.is_last) for t in timesteps] == [False] * 8 + [True]
  assert bool(timesteps[-1].is_terminal)


def test_missing_it_costs_one_and_then_a_new_episode_begins():
  state = catch.State(jnp.int32(0), jnp.int32(4), jnp.int32(2))
  state, timesteps = _play(state, [0] * 9 + [2])
  assert float(timesteps[8].reward) == -1.0
  assert bool(timesteps[9].is_first)
  assert float(timesteps[9].reward) == 0.0
  assert (int(state.ball_row), int(state.paddle)) == (0, 2)


def test_the_picture_shows_ball_and_paddle():
  state = catch.State(jnp.int32(3), jnp.int32(1), jnp.int32(4))
  _, timestep = catch.step(state, jnp.int32(2), KEY)
  image = np.asarray(timestep.image)[..., 0]
  assert image.shape == (16, 16)
  rows, columns = np.nonzero(image)
  assert sorted(
    {(int(r), int(c)) for r, c in zip(rows, columns, strict=True)}
  ) == [
    *((4, 3), (4, 4), (4, 5)),
    *((9, 12), (9, 13), (9, 14)),
  ]


def test_columns_are_drawn_evenly_and_walls_hold():
  keys = jax.random.split(KEY, 5000)
  states, timesteps = jax.vmap(catch.reset)(keys)
  counts = np.bincount(states.ball_column, minlength=5)
  expected = 1000
  assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi2, p = 0.001
  assert bool(timesteps.is_first.all())
  state = catch.State(jnp.int32(0), jnp.int32(0), jnp.int32(0))
  state, _ = _play(state, [0])
  assert int(state.paddle) == 0
