"""gymnax's interface as ours: ends seen, limits told, spaces carried over."""

import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from carnet import errors
from carnet.envs import contract, gymnax_env, jax_env

KEY = jax.random.key(0)


@struct.dataclass
class _State:
  time: Any
  place: Any


@struct.dataclass
class _Params:
  max_steps_in_episode: int = 4


def _box(low, high, shape):
  return types.SimpleNamespace(low=low, high=high, shape=shape)


class Line:
  """gymnax 0.0: from 0, action 1 goes up by one; 3 is the end, or 4 steps."""

  default_params = _Params()

  def observation_space(self, params):
    return _box(np.array([-1.0, 0.0]), np.array([9.0, 9.0]), (2,))

  def action_space(self, params):
    return types.SimpleNamespace(n=2, shape=())

  def reset_env(self, key, params):
    state = _State(0, 0.0)  # weakly typed, as gymnax's own are
    return self._look(state), state

  def step_env(self, key, state, action, params):
    state = _State(state.time + 1, state.place + action.astype(jnp.float32))
    done = self.is_terminal(state, params)
    return self._look(state), state, state.place, done, self._info(done)

  def is_terminal(self, state, params):
    return (state.place >= 3) | (state.time >= params.max_steps_in_episode)

  def _info(self, done):
    return {"discount": jnp.where(done, 0.0, 1.0)}

  def _look(self, state):
    return jnp.stack([jnp.float32(state.place), jnp.float32(state.time)])


class NewLine(Line):
  """gymnax 1.0: limits are told apart by `is_truncated`."""

  def is_terminal(self, state, params):
    return state.place >= 3

  def is_truncated(self, state, params):
    return state.time >= params.max_steps_in_episode


class _Fields(NamedTuple):
  time: Any
  place: Any


class AutoLine:
  """Begins anew within the step, and has nothing else."""

  default_params = _Params()
  observation_space = Line.observation_space
  action_space = Line.action_space

  def reset(self, key, params):
    observation, state = Line().reset_env(key, params)
    return observation, _Fields(state.time, state.place)

  def step(self, key, state, action, params):
    inner = _State(state.time, state.place)
    _, moved, reward, done, _ = Line().step_env(key, inner, action, params)
    _, start = Line().reset_env(key, params)
    time = jnp.where(done, start.time, moved.time)
    place = jnp.where(done, start.place, moved.place)
    after = _State(time, place)
    return Line()._look(after), _Fields(time, place), reward, done, {}


def _play(environment, actions):
  """Returns what is seen: place, time, reward and the three flags."""
  state, seen = environment.reset(KEY)
  found = [seen]
  step = jax.jit(environment.step)
  for action in actions:
    state, seen = step(state, jnp.int32(action), KEY)
    found.append(seen)
  return [
    (
      *np.asarray(s.observation).tolist(),
      *(float(s.reward), bool(s.is_first)),
      *(bool(s.is_last), bool(s.is_terminal)),
    )
    for s in found
  ]


@pytest.mark.parametrize("line", [Line, NewLine])
def test_the_end_is_seen_and_the_next_step_begins(line):
  played = _play(gymnax_env.GymnaxEnvironment(line()), [1, 1, 1, 1, 0])
  assert played == [
    (0.0, 0.0, 0.0, True, False, False),
    (1.0, 1.0, 1.0, False, False, False),
    (2.0, 2.0, 2.0, False, False, False),
    (3.0, 3.0, 3.0, False, True, True),
    (0.0, 0.0, 0.0, True, False, False),  # whatever the action
    (0.0, 1.0, 0.0, False, False, False),
  ]


@pytest.mark.parametrize("line", [Line, NewLine])
@pytest.mark.parametrize(
  ("actions", "terminal"), [([1, 1, 0, 0], False), ([1, 1, 0, 1], True)]
)
def test_a_time_limit_is_no_terminal_end(line, actions, terminal):
  last = _play(gymnax_env.GymnaxEnvironment(line()), actions)[-1]
  assert last[1] == 4.0
  assert last[-2:] == (True, terminal)


def test_what_info_says_of_limits_counts():
  class Told(Line):
    def _info(self, done):
      return {"truncated": done}

  last = _play(gymnax_env.GymnaxEnvironment(Told()), [1, 1, 1])[-1]
  assert last[-2:] == (True, False)


def test_without_step_env_an_end_shows_what_was_before():
  played = _play(gymnax_env.GymnaxEnvironment(AutoLine()), [1, 1, 1, 1, 1])
  assert played == [
    (0.0, 0.0, 0.0, True, False, False),
    (1.0, 1.0, 1.0, False, False, False),
    (2.0, 2.0, 2.0, False, False, False),
    (2.0, 2.0, 3.0, False, True, True),
    (0.0, 0.0, 0.0, True, False, False),
    (1.0, 1.0, 1.0, False, False, False),
  ]


@pytest.mark.parametrize("line", [Line, NewLine, AutoLine])
def test_it_obeys_the_protocol(line):
  environment = gymnax_env.GymnaxEnvironment(line())
  contract.check(lambda: jax_env.JaxEnv(environment), np.ones(5, np.int32))


@pytest.mark.parametrize("line", [Line, AutoLine])
def test_it_is_scanned_and_vectorised(line):
  environment = gymnax_env.GymnaxEnvironment(line())

  def play(key):
    return jax.lax.scan(
      lambda state, _: environment.step(state, jnp.int32(1), key),
      environment.reset(key)[0],
      length=8,
    )[1]

  seen = jax.jit(jax.vmap(play))(jax.random.split(KEY, 3))
  expected = [1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0]
  assert seen.reward.tolist() == [expected] * 3


class Shapes(Line):
  """Shows and takes what it is told to."""

  def __init__(self, seen, space, action):
    self._seen, self._space, self._action = seen, space, action

  def observation_space(self, params):
    return self._space

  def action_space(self, params):
    return self._action

  def step_env(self, key, state, action, params):
    done = jnp.asarray(False)
    return self._look(state), state, jnp.sum(action), done, {}

  def _look(self, state):
    return self._seen


ACTION = types.SimpleNamespace(n=2, shape=())


@pytest.mark.parametrize(
  ("image", "high", "expected"),
  [
    (jnp.ones((4, 4, 2), jnp.bool_), 1, 255),
    (jnp.ones((4, 4, 2), jnp.uint8), 1, 255),
    (jnp.full((4, 4, 2), 7, jnp.uint8), 255, 7),
  ],
)
def test_images_are_scaled(image, high, expected):
  environment = gymnax_env.GymnaxEnvironment(
    Shapes(image, _box(0, high, image.shape), ACTION)
  )
  (name,) = environment.observation_space
  _, seen = environment.reset(KEY)
  assert name == "image"
  assert seen.image.dtype == jnp.uint8
  assert set(np.unique(seen.image)) == {expected}


def test_dictionaries_and_numbers_of_classes():
  seen = {"which": jnp.int32(2), "where": jnp.ones(2, jnp.float32)}
  space = {
    "which": types.SimpleNamespace(n=5, shape=()),
    "where": _box(-np.inf, np.inf, (2,)),
  }
  environment = gymnax_env.GymnaxEnvironment(Shapes(seen, space, ACTION))
  assert environment.observation_space["which"].classes == 5
  assert environment.observation_space["where"].low == -np.inf
  _, timestep = environment.reset(KEY)
  assert int(timestep.which) == 2
  assert timestep.where.tolist() == [1.0, 1.0]
  bounds = gymnax_env.GymnaxEnvironment(Line()).observation_space["observation"]
  assert (bounds.low, bounds.high) == ((-1.0, 0.0), 9.0)


@pytest.mark.parametrize(
  ("bounds", "action", "expected"),
  [
    ((-2.0, 4.0), [0.0], 1.0),
    ((-2.0, 4.0), [1.0], 4.0),
    ((-2.0, 4.0), [-3.0], -2.0),
    ((-np.inf, np.inf), [-3.0], -3.0),
  ],
)
def test_continuous_actions_are_scaled_to_their_bounds(
  bounds, action, expected
):
  seen = jnp.zeros(2, jnp.float32)
  environment = gymnax_env.GymnaxEnvironment(
    Shapes(seen, _box(0.0, 1.0, (2,)), _box(*bounds, (1,)))
  )
  state, _ = environment.reset(KEY)
  _, timestep = environment.step(state, jnp.asarray(action, jnp.float32), KEY)
  assert float(timestep.reward) == expected


def test_spaces_that_are_not_known_are_refused():
  seen = jnp.zeros(2, jnp.float32)
  strange = types.SimpleNamespace(shape=())
  with pytest.raises(errors.UserError, match="neither `n` nor"):
    gymnax_env.GymnaxEnvironment(Shapes(seen, _box(0.0, 1.0, (2,)), strange))
