"""Environments written in JAX, behind the protocol of all others.

For evaluation, films, and the ordinary training loop; where all runs in one
compiled program (`dreamer.jitted`), the functions are used as they are.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import UInt8

from carnet import errors
from carnet.envs import base, catch, functional

_PICTURE_PIXELS = 256  # at least, along the longer side


@runtime_checkable
class Functional(Protocol):
  """Pure functions of one environment; a module such as `catch` is one.

  A timestep is a pytree with `reward`, `is_first`, `is_last`, `is_terminal` and
  the keys of `observation_space` as attributes. The step after a last one
  begins a new episode.
  """

  @property
  def observation_space(self) -> dict[str, base.Space]:
    """What a timestep shows."""

  @property
  def action_space(self) -> base.Space | dict[str, base.Space]:
    """What `step` takes."""

  def reset(self, key: jax.Array) -> tuple[Any, Any]:
    """Returns the state at the start of an episode, and its timestep."""

  def step(self, state: Any, action: Any, key: jax.Array) -> tuple[Any, Any]:
    """Returns the next state and timestep."""


class JaxEnv:
  """A functional environment, compiled once and run on the CPU if there is one.

  Step t of an episode uses the key that `fold_in` makes of the seed's and t.

  Args:
    environment: the functions.
    control_hz: how many steps a second of a film shows.
    success_reward: reaching it is success.
  """

  def __init__(
    self,
    environment: Functional,
    control_hz: int | float = 10.0,
    success_reward: float | None = None,
  ) -> None:
    self.observation_space = dict(environment.observation_space)
    self.action_space = environment.action_space
    self.control_hz = float(control_hz)
    self.success_reward = success_reward
    functions: Any = environment  # hashable, as modules and most objects are
    self._reset, self._step = _compiled(functions)
    self._device = _cpu()
    self._state: Any = None  # None outside an episode
    self._timestep: Any = None

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Begins the episode named by `seed`."""
    number = jax.device_put(np.uint32(seed % 2**32), self._device)
    self._state, self._timestep = self._reset(number)
    self._steps = np.uint32(0)
    return self._result(observe)

  def step(self, action: Any, observe: bool = True) -> base.Step:
    """Applies the action.

    Raises:
      UserError: it does not fit the action space.
    """
    if self._state is None:
      raise RuntimeError("the episode is over or has not begun: call reset()")
    taken = _accept(action, self.action_space)
    self._state, self._timestep = self._step(self._state, taken, self._steps)
    self._steps += np.uint32(1)
    return self._result(observe)

  def observe(self) -> base.Observation:
    """Returns the observation of the present state."""
    shown = {n: getattr(self._timestep, n) for n in self.observation_space}
    return {name: np.asarray(array) for name, array in shown.items()}

  def render(self, camera: str = "") -> UInt8[np.ndarray, "H W 3"]:
    """Returns the image seen, enlarged; `camera` is its key, or "".

    Raises:
      UserError: there is none, or none of this name.
    """
    images = [n for n, s in self.observation_space.items() if _is_image(s)]
    if not images:
      raise errors.UserError("this environment shows no image to film")
    if camera and camera not in images:
      raise errors.unknown("camera", camera, images)
    image = np.asarray(getattr(self._timestep, camera or images[0]))
    times = -(-_PICTURE_PIXELS // max(image.shape[:2]))
    return np.repeat(np.repeat(_colours(image), times, axis=0), times, axis=1)

  def close(self) -> None:
    """Ends the episode."""
    self._state = None

  def _result(self, observe: bool) -> base.Step:
    seen = self._timestep
    reward, first, last, terminal = jax.device_get(
      (seen.reward, seen.is_first, seen.is_last, seen.is_terminal)
    )
    if last:
      self._state = None
    return base.Step(
      self.observe() if observe else None,
      float(reward),
      bool(first),
      bool(last),
      bool(terminal),
    )


def make(task: str) -> base.Env:
  """Returns a JAX environment: ours, or one of gymnax as `gymnax:ID`."""
  if task == "catch":
    return JaxEnv(catch, catch.CONTROL_HZ, catch.SUCCESS_REWARD)
  return JaxEnv(functional.make(task))


@functools.lru_cache(maxsize=32)
def _compiled(
  environment: Any,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
  def reset(seed: jax.Array) -> tuple[Any, Any]:
    begin, rest = jax.random.split(jax.random.key(seed))
    state, timestep = environment.reset(begin)
    return (state, rest), timestep

  def step(state: Any, action: Any, number: jax.Array) -> tuple[Any, Any]:
    inner, rest = state
    key = jax.random.fold_in(rest, number)
    inner, timestep = environment.step(inner, action, key)
    return (inner, rest), timestep

  return jax.jit(reset), jax.jit(step)


def _cpu() -> jax.Device:
  # Single small steps cost more on an accelerator than they gain.
  try:
    return jax.local_devices(backend="cpu")[0]
  except RuntimeError:  # JAX_PLATFORMS leaves it out
    return jax.local_devices()[0]


def _accept(
  action: Any, space: base.Space | dict[str, base.Space], name: str = "action"
) -> Any:
  if isinstance(space, dict):
    if not isinstance(action, dict) or action.keys() != space.keys():
      raise errors.UserError(
        f"the action is a dictionary with {', '.join(sorted(space))}"
      )
    return {k: _accept(action[k], part, k) for k, part in space.items()}
  array = np.asarray(action)
  if array.shape != space.shape:
    raise errors.UserError(
      f"'{name}' is of shape {list(array.shape)}, not {list(space.shape)}"
    )
  if space.classes and not np.all((array >= 0) & (array < space.classes)):
    raise errors.UserError(
      f"'{name}' is {action}, but there are {space.classes} classes, counted "
      "from 0"
    )
  return array.astype(space.dtype)


def _is_image(space: base.Space) -> bool:
  return space.dtype == "uint8" and len(space.shape) == 3


def _colours(image: np.ndarray) -> np.ndarray:
  """Returns three channels of one, two (blue absent), three or more."""
  channels = image.shape[-1]
  if channels == 1:
    return np.repeat(image, 3, axis=-1)
  if channels == 2:
    return np.concatenate([image, np.zeros_like(image[..., :1])], axis=-1)
  if channels == 3:
    return image.copy()
  # More are layers of a drawing: each in a colour of its own, the last on top.
  angles = np.linspace(0, 2 * np.pi, channels, endpoint=False)[:, None]
  phases = angles + np.array([0, 2, 4]) * np.pi / 3
  colours = (127.5 + 127.5 * np.cos(phases)).astype(np.uint8)
  picture = np.zeros((*image.shape[:2], 3), np.uint8)
  for layer, colour in enumerate(colours):
    picture[image[..., layer] > 127] = colour
  return picture
