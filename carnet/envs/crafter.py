"""Crafter (Hafner, arXiv:2109.06780): one image, 17 actions, 10,000 steps.

What crafter.Env(seed=seed) gives in its first episode, with one correction: it
picks creatures to remove out of sets ordered by memory address, so that equal
seeds part after ten steps or more; here they come in the order of creation.

Its pictures draw noise from the world's own random numbers, so that not drawing
would change the physics: it always draws, which takes little.
"""

import collections
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from carnet import errors, extras
from carnet.envs import base, spaces

TASKS = ("noreward", "reward")
_ACTIONS = 17


class CrafterEnv:
  """Unlock achievements; death is terminal, the step limit is not."""

  control_hz = 15.0  # it has no clock; the reference's films, `logger.fps`
  success_reward: float | None = None
  action_space = base.Space((), "int32", 0.0, _ACTIONS - 1.0, _ACTIONS)

  def __init__(
    self, rewarded: bool, image_size: int, length: int, render_size: int
  ) -> None:
    self._crafter = extras.load("crafter", "crafter")
    self._rewarded, self._length = rewarded, length
    self._size, self._render_size = image_size, render_size
    self._env: Any = None  # None: no episode yet
    self._image = np.zeros((image_size, image_size, 3), np.uint8)
    self._steppable = False
    self.achievements: dict[str, int] = {}  # counts of this episode so far
    shape = (image_size, image_size, 3)
    self.observation_space = {"image": base.Space(shape, "uint8", 0.0, 255.0)}

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Generates the seed's world, which takes most of a second."""
    self._env = self._crafter.Env(
      size=(self._size, self._size),
      reward=self._rewarded,
      length=self._length,
      seed=seed,
    )
    _keep_order(self._env._world)
    self._image = self._env.reset()
    names = self._crafter.constants.achievements
    self.achievements = dict.fromkeys(names, 0)
    self._steppable = True
    seen = self.observe() if observe else None
    return base.Step(seen, 0.0, True, False, False)

  def step(
    self, action: Int[np.ndarray, ""] | np.integer | int, observe: bool = True
  ) -> base.Step:
    """Applies one of crafter.constants.actions."""
    if not self._steppable:
      raise RuntimeError("the episode is over or has not begun: call reset()")
    number = spaces.category(action, _ACTIONS)
    self._image, reward, done, info = self._env.step(number)
    self.achievements = info["achievements"]
    self._steppable = not done
    seen = self.observe() if observe else None
    # done may be the limit and the death at once, or 0 where length is.
    is_terminal = info["discount"] == 0
    return base.Step(seen, float(reward), False, bool(done), is_terminal)

  def observe(self) -> base.Observation:
    """Returns "image"."""
    return {"image": np.ascontiguousarray(self._image)}

  def render(self, camera: str = "") -> UInt8[np.ndarray, "H W 3"]:
    """Returns a larger picture; there is one view, whatever its name."""
    random = self._env._world.random
    state = random.get_state()
    picture = self._env.render((self._render_size, self._render_size))
    random.set_state(state)
    return np.ascontiguousarray(picture)

  def close(self) -> None:
    """Ends the episode."""
    self._steppable = False


class _OrderedSet(dict):
  """The part of a set that Crafter uses, in the order of insertion."""

  def add(self, element: Any) -> None:
    self[element] = None

  def remove(self, element: Any) -> None:
    del self[element]


def _keep_order(world: Any) -> None:
  reset = world.reset

  def reset_in_order(seed: int | None = None) -> None:
    reset(seed)
    world._chunks = collections.defaultdict(_OrderedSet)

  world.reset = reset_in_order


def make(
  task: str,
  *,
  image_size: int = 64,
  length: int = 10000,
  render_size: int = 288,
) -> base.Env:
  """Returns the environment.

  Args:
    task: "reward", or "noreward" whose rewards are all 0.
    image_size: height and width of the observation.
    length: steps after which an episode ends.
    render_size: height and width of what `render` returns.
  """
  if task not in TASKS:
    known = [f"crafter/{name}" for name in TASKS]
    raise errors.unknown("task", f"crafter/{task}", known)
  for name, size in (("image_size", image_size), ("render_size", render_size)):
    if size < 9:
      raise errors.UserError(f"{name}={size}: the view has 9 squares a side")
  if length < 1:
    raise errors.UserError(f"length={length}: at least one step is needed")
  return CrafterEnv(task == "reward", image_size, length, render_size)
