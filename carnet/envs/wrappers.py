"""Environments around environments; they obey the same laws.

After embodied/core/wrappers.py of danijar/dreamerv3.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import UInt8

from carnet import errors
from carnet.envs import base, spaces


class Wrapper:
  """The environment `env`, unchanged."""

  def __init__(self, env: base.Env) -> None:
    self.env = env
    self.observation_space = env.observation_space
    self.success_reward = env.success_reward
    self.control_hz = env.control_hz
    self.action_space = env.action_space

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Begins the episode named by `seed`."""
    return self.env.reset(seed, observe)

  def step(self, action: Any, observe: bool = True) -> base.Step:
    """Applies the action."""
    return self.env.step(action, observe)

  def observe(self) -> base.Observation:
    """Returns the observation of the present state."""
    return self.env.observe()

  def render(self, camera: str = "") -> UInt8[np.ndarray, "H W 3"]:
    """Returns a picture for people."""
    return self.env.render(camera)

  def close(self) -> None:
    """Closes the environment within."""
    self.env.close()


class ActionRepeat(Wrapper):
  """Each action is applied `count` times, or until the end; rewards add up."""

  def __init__(self, env: base.Env, count: int) -> None:
    if count < 1:
      raise errors.UserError(f"an action repeat of {count}: at least one")
    super().__init__(env)
    self._count = count
    self.control_hz = env.control_hz / count

  def step(self, action: Any, observe: bool = True) -> base.Step:
    """Applies the action `count` times; looks after the last."""
    reward = 0.0
    for left in reversed(range(self._count)):
      step = self.env.step(action, observe and left == 0)
      reward += step.reward
      if step.is_last or step.is_terminal:
        break
    seen = step.observation
    if observe and seen is None:
      seen = self.env.observe()
    return dataclasses.replace(step, observation=seen, reward=reward)


class NormalizedActions(Wrapper):
  """Bounded actions span [-1, 1]; beyond, they are clipped.

  Discrete actions, and numbers without a bound, pass as they are.
  """

  def __init__(self, env: base.Env) -> None:
    super().__init__(env)
    inner = env.action_space
    if isinstance(inner, dict):
      self._scales = {name: _Scale(space) for name, space in inner.items()}
      self.action_space = {k: v.space for k, v in self._scales.items()}
    else:
      self._scale = _Scale(inner)
      self.action_space = self._scale.space

  def step(self, action: Any, observe: bool = True) -> base.Step:
    """Applies the action in the units of the environment within."""
    if isinstance(action, dict):
      scaled: Any = {k: v(action[k]) for k, v in self._scales.items()}
    else:
      scaled = self._scale(action)
    return self.env.step(scaled, observe)


class StepLimit(Wrapper):
  """An episode ends, not terminally, after so many steps."""

  def __init__(self, env: base.Env, steps: int) -> None:
    if steps < 1:
      raise errors.UserError(f"a limit of {steps} steps: at least one")
    super().__init__(env)
    self._steps, self._left = steps, 0

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Begins the episode named by `seed`."""
    self._left = self._steps
    return self.env.reset(seed, observe)

  def step(self, action: Any, observe: bool = True) -> base.Step:
    """Applies the action, unless the limit is reached."""
    if self._left == 0:
      raise RuntimeError("the episode is over or has not begun: call reset()")
    step = self.env.step(action, observe)
    self._left = 0 if step.is_last else self._left - 1
    return dataclasses.replace(step, is_last=self._left == 0)


class _Scale:
  """From [-1, 1] to the bounds of a space, where it has any."""

  def __init__(self, space: base.Space) -> None:
    self.space = space
    self._passes = bool(space.classes)
    if self._passes:
      return
    # In float64: the bounds of an actuator need not be float32 numbers.
    wide = dataclasses.replace(space, dtype="float64")
    low, high = spaces.bounds(wide)
    self._bounded = np.isfinite(low) & np.isfinite(high)
    self._passes = not self._bounded.any()
    if self._passes:
      return
    self._low = np.where(self._bounded, low, -1.0)
    self._high = np.where(self._bounded, high, 1.0)
    self._only_clips = bool(
      self._bounded.all() and (low == -1).all() and (high == 1).all()
    )
    if self._bounded.all():
      self.space = dataclasses.replace(
        space, low=-1.0, high=1.0, unscaled=space
      )
    else:
      self.space = dataclasses.replace(
        space,
        low=tuple(np.where(self._bounded, -1.0, low).ravel().tolist()),
        high=tuple(np.where(self._bounded, 1.0, high).ravel().tolist()),
        unscaled=space,
      )

  def __call__(self, action: Any) -> Any:
    if self._passes:
      return action
    clipped = np.clip(action, -1.0, 1.0)  # a NaN stays one
    if self._only_clips:
      return clipped
    scaled = (clipped + 1) / 2 * (self._high - self._low) + self._low
    return np.where(self._bounded, scaled, action)
