"""Environments with gymnax's interface as functional environments of ours.

gymnax (github.com/RobertTLange/gymnax) need not be installed: all that is asked
of an environment are `reset_env` and `step_env`, or `reset` and `step` alone,
and spaces with `n`, or with `shape`, `low` and `high`.
"""

import collections
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from carnet.envs import gymnax_spaces

_FLAGS = ("reward", "is_first", "is_last", "is_terminal")


class State(NamedTuple):
  """The environment's state; and whether and with what to begin anew.

  `shown` is the observation of `inner`, () where nothing needs it.
  """

  inner: Any
  ended: Any
  shown: Any


class GymnaxEnvironment:
  """`reset(key)` and `step(state, action, key)` of an environment of gymnax.

  Observations: bool and uint8 [H, W, C] become "image", scaled to 0 ... 255;
  floats "observation" in float32, integers of a discrete space "observation" in
  int32; of a dictionary, each keeps its name. Continuous actions go from -1 to
  1 and are scaled to the bounds where these are finite.

  gymnax begins anew within the step that ends an episode, and shows the new
  start. Ours begins with the next step, so that the end is seen; an environment
  that has no `step_env` shows at an end what it showed before.

  Whether an end is terminal or a mere time limit is found by the first that
  exists: `is_truncated(state, params)` (gymnax 1.0), which is asked for the
  limit besides; `info["truncated"]`; with `state.time` at
  `params.max_steps_in_episode`, what `is_terminal` says with the time set back;
  `info["discount"]` being 0; `done`.

  Args:
    environment: as `gymnax.make` returns.
    params: its parameters; its `default_params` if None.
  """

  def __init__(self, environment: Any, params: Any = None) -> None:
    self._environment = environment
    self._params = environment.default_params if params is None else params
    self._whole = hasattr(environment, "step_env")
    shapes, _ = jax.eval_shape(self._reset_inner, jax.random.key(0))
    parts = gymnax_spaces.observations(
      environment.observation_space(self._params), shapes
    )
    self.observation_space = {name: part for name, (part, _) in parts.items()}
    self._convert = {name: function for name, (_, function) in parts.items()}
    self.action_space, self._scale = gymnax_spaces.action(
      environment.action_space(self._params)
    )
    names = (*self.observation_space, *_FLAGS)
    make_class: Any = collections.namedtuple  # the fields depend on the spaces
    self._timestep = make_class("GymnaxTimestep", names)

  def reset(self, key: jax.Array) -> tuple[State, Any]:
    """Returns the state at the start of an episode, and its timestep."""
    observation, inner = self._reset_inner(key)
    no = jnp.asarray(False)
    shown = () if self._whole else observation
    timestep = self._show(observation, 0.0, True, no, no)
    return State(inner, no, shown), timestep

  def step(
    self, state: State, action: Any, key: jax.Array
  ) -> tuple[State, Any]:
    """Returns the next step; after the last one, a new episode's first."""
    step_key, reset_key = jax.random.split(key)
    going_on = self._go_on(state, self._scale(action), step_key)
    if self._whole:
      anew = self.reset(reset_key)
    else:  # it has begun anew already
      no = jnp.asarray(False)
      anew = (
        State(state.inner, no, state.shown),
        self._show(state.shown, 0.0, True, no, no),
      )
    return jax.tree.map(
      lambda a, b: jnp.where(state.ended, a, _cast(b, a)), anew, going_on
    )

  def _go_on(
    self, state: State, action: Any, key: jax.Array
  ) -> tuple[State, Any]:
    step = self._environment.step_env if self._whole else self._environment.step
    result = step(key, state.inner, action, self._params)
    observation, inner, reward, *_, info = result
    observation, inner = _strong((observation, inner))
    done = result[3]
    last, terminal = self._ends(inner, done, info)
    if not self._whole:
      held = jax.tree.map(
        lambda a, b: jnp.where(last, a, b), state.shown, observation
      )
      after = State(inner, last, observation)
      return after, self._show(held, reward, False, last, terminal)
    timestep = self._show(observation, reward, False, last, terminal)
    return State(inner, last, ()), timestep

  def _ends(self, inner: Any, done: Any, info: Any) -> tuple[Any, Any]:
    environment, params = self._environment, self._params
    done = jnp.asarray(done, jnp.bool_)
    if self._whole and hasattr(environment, "is_truncated"):
      return done | environment.is_truncated(inner, params), done
    if "truncated" in info:
      limit = jnp.asarray(info["truncated"], jnp.bool_)
      return done | limit, done & ~limit
    timed = hasattr(inner, "time") and hasattr(inner, "replace")
    if (
      self._whole
      and timed
      and hasattr(params, "max_steps_in_episode")
      and hasattr(environment, "is_terminal")
    ):
      at_limit = inner.time >= params.max_steps_in_episode
      earlier = inner.replace(time=jnp.zeros_like(inner.time))
      besides = jnp.asarray(environment.is_terminal(earlier, params))
      return done, done & (~at_limit | besides)
    if "discount" in info:
      return done, done & (info["discount"] == 0)
    return done, done

  def _reset_inner(self, key: jax.Array) -> tuple[Any, Any]:
    environment = self._environment
    reset = environment.reset_env if self._whole else environment.reset
    return _strong(reset(key, self._params))

  def _show(
    self, observation: Any, reward: Any, first: bool, last: Any, terminal: Any
  ) -> Any:
    shown = observation if isinstance(observation, dict) else None
    arrays = [
      convert(observation if shown is None else shown[name])
      for name, convert in self._convert.items()
    ]
    return self._timestep(
      *arrays,
      jnp.asarray(reward, jnp.float32),
      jnp.asarray(first),
      last,
      terminal,
    )


def _strong(tree: Any) -> Any:
  """Returns arrays with dtypes of their own, so that all states are alike."""
  return jax.tree.map(_strong_leaf, tree)


def _strong_leaf(value: Any) -> jax.Array:
  array = jnp.asarray(value)
  if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
    return array
  return array.astype(array.dtype)


def _cast(value: jax.Array, like: jax.Array) -> jax.Array:
  return value if value.dtype == like.dtype else value.astype(like.dtype)
