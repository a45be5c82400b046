"""The laws of `base.Env`, as one check to run on any environment.

In the manner of dm_env/test_utils.py: each message says which law was broken.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from carnet.envs import base, spaces

# [T, A], or one `base.Action` a step: numbers of classes, dictionaries
Actions = np.ndarray | Sequence[Any]


def check(
  make: Callable[[], base.Env], actions: Actions, seed: int = 0
) -> None:
  """Raises AssertionError unless the environments that `make` gives obey.

  `actions` are applied in order, and at most one episode is played.
  """
  env = make()
  try:
    assert isinstance(env, base.Env), "it lacks an attribute of base.Env"
    assert env.control_hz > 0, "control_hz is not a frequency"
    _check_action_space(env.action_space)
    _check_must_reset(env, actions[0])
    steps = _play(env, actions, seed)
    for step in steps:
      _check_observation(env, step.observation)
    _check_flags(steps)
    _check_repeatable(make, env, actions, seed, steps)
    if steps[-1].is_last:
      _check_must_reset(env, actions[0])
  finally:
    env.close()


def random_actions(env: base.Env, steps: int, seed: int = 0) -> list[Any]:
  """Returns actions for `check`, drawn from the action space."""
  generator = np.random.default_rng(seed)
  return [spaces.sample(env.action_space, generator) for _ in range(steps)]


def _check_action_space(space: base.Space | dict[str, base.Space]) -> None:
  parts = space if isinstance(space, dict) else {"": space}
  assert parts, "there is no action"
  for part in parts.values():
    dtype = "int32" if part.classes else "float32"
    assert part.dtype == dtype, f"an action of {part.dtype} should be {dtype}"
    low, high = spaces.bounds(part)
    assert np.all(low <= high), "an action's bounds cross"


def _play(env: base.Env, actions: Actions, seed: int) -> list[base.Step]:
  steps = [env.reset(seed)]
  for action in actions:
    if steps[-1].is_last:
      break
    steps.append(env.step(action))
  return steps


def _check_must_reset(env: base.Env, action: Any) -> None:
  try:
    env.step(action)
  except RuntimeError:
    return
  raise AssertionError("step() must raise RuntimeError outside an episode")


def _check_observation(
  env: base.Env, observation: base.Observation | None
) -> None:
  assert observation is not None, "an observation that was asked for is None"
  assert set(observation) == set(env.observation_space), (
    f"keys {sorted(observation)} are not those of observation_space"
  )
  for name, space in env.observation_space.items():
    array = observation[name]
    assert array.shape == space.shape, f"{name} has shape {array.shape}"
    assert array.dtype == space.dtype, f"{name} has dtype {array.dtype}"
    low, high = spaces.bounds(space)
    assert np.all(array >= low), f"{name} is below its space"
    assert np.all(array <= high), f"{name} is above its space"
    assert np.all(np.isfinite(array)), f"{name} is not finite"


def _check_flags(steps: list[base.Step]) -> None:
  first, rest = steps[0], steps[1:]
  assert first.is_first, "reset() must return is_first"
  assert first.reward == 0, "reset() must return reward 0"
  assert not first.is_last, "an episode cannot end with its first state"
  for step in rest:
    assert not step.is_first, "step() must not return is_first"
    assert step.is_last or not step.is_terminal, "is_terminal needs is_last"
    assert isinstance(step.reward, float), "the reward is no float"


def _check_repeatable(
  make: Callable[[], base.Env],
  env: base.Env,
  actions: Actions,
  seed: int,
  steps: list[base.Step],
) -> None:
  """The same again: in the same environment, a new one, and unobserved."""
  _play(env, actions[:1], seed + 1)
  _check_same(steps, _play(env, actions, seed), "after another episode")
  other = make()
  try:
    _check_same(steps, _play(other, actions, seed), "in a new environment")
    blind = [other.reset(seed, observe=False)]
    blind += [
      other.step(action, observe=False) for action in actions[: len(steps) - 1]
    ]
    assert all(step.observation is None for step in blind), (
      "observe=False must return None"
    )
    assert [s.reward for s in blind] == [s.reward for s in steps], (
      "observe=False changes the rewards"
    )
    _check_equal(other.observe(), steps[-1].observation, "from observe()")
  finally:
    other.close()


def _check_same(
  steps: list[base.Step], others: list[base.Step], where: str
) -> None:
  assert len(steps) == len(others), f"the episode's length differs {where}"
  for step, other in zip(steps, others, strict=True):
    assert step.reward == other.reward, f"a reward differs {where}"
    _check_equal(other.observation, step.observation, where)


def _check_equal(
  observation: base.Observation | None,
  expected: base.Observation | None,
  where: str,
) -> None:
  assert observation is not None, f"no observation {where}"
  assert expected is not None, f"no observation {where}"
  for name, array in expected.items():
    assert np.array_equal(array, observation[name]), f"{name} differs {where}"
