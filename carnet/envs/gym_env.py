"""Any environment registered with Gymnasium, as `gym:<id>`."""

import difflib
import sys
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs import registration
from jaxtyping import UInt8

from carnet import errors
from carnet.envs import base, gym_spaces, simulator

_FRAMES_PER_SECOND = 30.0  # where the environment names none
# These import and run what their options name: a file must not choose that.
_REFUSED = ("GymV21Environment", "GymV26Environment")


class GymEnv:
  """A Gymnasium environment behind our protocol.

  Terminated is `is_terminal`, truncated only `is_last`. An episode is as pure a
  function of the seed as its author made it.
  """

  success_reward: float | None = None

  def __init__(self, env: Any, name: str, image_size: int | None) -> None:
    self._env, self._name = env, name
    seen = f"the observation space of {name}"
    self._leaves = {}
    for leaf in gym_spaces.leaves(env.observation_space, seen):
      if image_size is not None:
        leaf = gym_spaces.resized(leaf, image_size)
      self._leaves[leaf.name or _only_name(leaf.space)] = leaf
    self.observation_space = {k: v.space for k, v in self._leaves.items()}
    done = f"the action space of {name}"
    actions = list(gym_spaces.leaves(env.action_space, done))
    self.action_space: base.Space | dict[str, base.Space]
    if len(actions) == 1 and not actions[0].path:
      self.action_space = actions[0].space
      self._to_action = gym_spaces.to_action(env.action_space, done)
    else:
      self.action_space = {leaf.name: leaf.space for leaf in actions}
      self._to_action = gym_spaces.nested_action(env.action_space, done)
    rate = (env.metadata or {}).get("render_fps")
    self.control_hz = float(rate or _FRAMES_PER_SECOND)
    self._seen: Any = None  # None: no episode yet
    self._steppable = False

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Begins the episode that the environment makes of `seed`."""
    self._seen, _ = self._env.reset(seed=seed)
    self._steppable = True
    seen = self.observe() if observe else None
    return base.Step(seen, 0.0, True, False, False)

  def step(self, action: Any, observe: bool = True) -> base.Step:
    """Applies the action."""
    if not self._steppable:
      raise RuntimeError("the episode is over or has not begun: call reset()")
    self._seen, reward, terminated, truncated, _ = self._env.step(
      self._to_action(action)
    )
    is_terminal = bool(terminated)
    is_last = is_terminal or bool(truncated)
    self._steppable = not is_last
    seen = self.observe() if observe else None
    return base.Step(seen, float(reward), False, is_last, is_terminal)

  def observe(self) -> base.Observation:
    """Returns a copy of the present observation, by flat keys."""
    return {
      name: gym_spaces.observed(leaf, self._seen)
      for name, leaf in self._leaves.items()
    }

  def render(self, camera: str = "") -> UInt8[np.ndarray, "H W 3"]:
    """Returns the picture; there is one view, whatever its name."""
    if self._env.render_mode is None:
      raise errors.UserError(f"{self._name} cannot draw: it has no rgb_array")
    try:
      return np.array(self._env.render(), np.uint8)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
      raise _not_installed(self._name, error) from error

  def close(self) -> None:
    """Closes the environment within."""
    self._steppable = False
    self._env.close()


def _only_name(space: base.Space) -> str:
  """The key of an observation that is no dictionary."""
  is_picture = space.dtype == "uint8" and space.shape[-1] in (1, 3)
  return "image" if is_picture else "observation"


def module(name: str) -> str | None:
  """Returns the module in "module:Env-v0", or None.

  Raises:
    UserError: the program has not imported it. A name may come out of a
      checkpoint's file, and no file chooses what is imported.
  """
  before, colon, _ = name.rpartition(":")
  if not colon:
    return None
  if before not in sys.modules:
    raise errors.UserError(
      f"gym:{name} needs the module '{before}', and naming it does not import "
      f"it: write `import {before}` in the program that asks for this task"
    )
  return before


def make(
  name: str,
  *,
  image_size: int | None = None,
  max_steps: int | None = None,
  **options: Any,
) -> base.Env:
  """Returns the environment registered as `name`.

  Args:
    name: an id, or "module:id" where the program has imported the module.
    image_size: resize uint8 [H, W, channels] to this height and width.
    max_steps: step limit in place of the registered one.
    **options: of the environment itself.
  """
  module(name)
  known = gymnasium.registry
  identifier = name.rpartition(":")[2]
  spec = known.get(identifier)
  if spec is None:
    raise _unknown(identifier, known)
  if spec.name in _REFUSED:
    raise errors.UserError(
      f"gym:{identifier} imports what its options name: make and register that "
      "environment in your program instead"
    )
  for option, value in (("image_size", image_size), ("max_steps", max_steps)):
    if value is not None and value < 1:
      raise errors.UserError(f"{option}={value}: at least 1 is needed")
  env = _make(spec, max_steps, options)
  try:
    return GymEnv(env, f"gym:{identifier}", image_size)
  except errors.UserError:
    env.close()
    raise


def _make(spec: Any, max_steps: int | None, options: dict[str, Any]) -> Any:
  try:
    if "mujoco" in str(spec.entry_point):
      simulator.load()  # sets up OpenGL before Gymnasium looks for it
    return gymnasium.make(
      spec.id,
      max_episode_steps=max_steps,
      disable_env_checker=True,  # the laws are ours: carnet.envs.contract
      **(_render_mode(spec) | options),
    )
  except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
    raise _not_installed(f"gym:{spec.id}", error) from error
  except TypeError as error:
    if "keyword" not in str(error):
      raise
    reason = str(error).split(" was raised")[0]
    raise errors.UserError(f"gym:{spec.id}: {reason}") from error


def _render_mode(spec: Any) -> dict[str, str]:
  """Returns the argument that lets it draw, where it can."""
  creator = spec.entry_point
  if isinstance(creator, str):
    creator = registration.load_env_creator(creator)
  metadata = getattr(creator, "metadata", None)
  modes = metadata.get("render_modes") if isinstance(metadata, dict) else ()
  return {"render_mode": "rgb_array"} if "rgb_array" in (modes or ()) else {}


def _not_installed(name: str, error: Exception) -> errors.UserError:
  reason = str(error).splitlines()[0]
  return errors.UserError(f"{name} needs what is not installed: {reason}")


def _unknown(name: str, known: dict[str, Any]) -> errors.UserError:
  near = difflib.get_close_matches(name, known, n=3)
  hint = (
    f"did you mean {' or '.join(f'gym:{n}' for n in near)}? " if near else ""
  )
  return errors.UserError(
    f"unknown task 'gym:{name}': {hint}(gymnasium.registry lists the ids; a "
    "package's own are there once your program has imported it)"
  )
