"""Catch, written in JAX: a ball falls, a paddle below is to be under it.

After bsuite's `catch` (Osband et al., arXiv:1908.03568): 10 rows, 5 columns,
actions left, stay, right; the only reward, 1 or -1, comes when the ball lands.
The board is drawn as an image. All functions are pure, of one environment:
`jax.vmap` makes many.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt8

from carnet.envs import base

ROWS, COLUMNS = 10, 5
IMAGE_SHAPE = (16, 16, 1)
ACTIONS = 3
CONTROL_HZ = 10.0  # for films
SUCCESS_REWARD = 1.0
_CELL_WIDTH = 3  # pixels; a row is one pixel high

# Under the names of `base.Env`, as of every functional environment.
observation_space = {"image": base.Space(IMAGE_SHAPE, "uint8", 0.0, 255.0)}
action_space = base.Space((), "int32", 0.0, ACTIONS - 1.0, ACTIONS)


@flax.struct.dataclass
class State:
  """Where things are: [] int32 each; a ball in the last row has landed."""

  ball_row: Any
  ball_column: Any
  paddle: Any


@flax.struct.dataclass
class Timestep:
  """What an agent sees of a step; the flags are bool []."""

  image: Any
  reward: Any
  is_first: Any
  is_last: Any
  is_terminal: Any


def reset(key: jax.Array) -> tuple[State, Timestep]:
  """Returns a new episode: the ball above, in a random column."""
  column = jax.random.randint(key, (), 0, COLUMNS)
  state = State(jnp.int32(0), column, jnp.int32(COLUMNS // 2))
  return state, _timestep(state, jnp.float32(0), True, False)


def step(
  state: State, action: Int[Array, ""], key: jax.Array
) -> tuple[State, Timestep]:
  """Returns the next step; after the last one, a new episode's first.

  Args:
    state: of the environment.
    action: 0 left, 1 stay, 2 right.
    key: for the column of a new ball.
  """
  ended = state.ball_row == ROWS - 1
  paddle = jnp.clip(state.paddle + action - 1, 0, COLUMNS - 1)
  moved = State(state.ball_row + 1, state.ball_column, paddle)
  landed = moved.ball_row == ROWS - 1
  caught = moved.ball_column == paddle
  reward = jnp.where(landed, jnp.where(caught, 1.0, -1.0), 0.0)
  going_on = moved, _timestep(moved, reward, False, landed)
  anew = reset(key)
  return jax.tree.map(lambda a, b: jnp.where(ended, a, b), anew, going_on)


def _timestep(
  state: State, reward: Any, is_first: bool, is_last: Any
) -> Timestep:
  last = jnp.asarray(is_last)
  first = jnp.asarray(is_first)
  reward = jnp.asarray(reward, jnp.float32)
  return Timestep(_draw(state), reward, first, last, last)


def _draw(state: State) -> UInt8[Array, "H W 1"]:
  image = jnp.zeros(IMAGE_SHAPE, jnp.uint8)
  for row, column in (
    (state.ball_row, state.ball_column),
    (jnp.int32(ROWS - 1), state.paddle),
  ):
    cell = jnp.full((1, _CELL_WIDTH, 1), 255, jnp.uint8)
    start = (row, column * _CELL_WIDTH, jnp.int32(0))
    image = jax.lax.dynamic_update_slice(image, cell, start)
  return image
