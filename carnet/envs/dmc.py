"""The DeepMind Control Suite, without drawing unless pixels are asked for.

Same seed and actions give the observations and rewards of dm_control.suite with
`random=RandomState(seed)`, held by tests/carnet/envs/test_dmc.py. Cameras and
the shorthand `cup` are those of embodied/envs/dmc.py of danijar/dreamerv3,
which draws at every step, whether or not the agent looks.
"""

import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from carnet import errors, extras
from carnet.envs import base, dmc_pixels, simulator, spaces

_CAMERAS = {"quadruped": 2}  # DEFAULT_CAMERAS of the reference; 0 elsewhere
_UNBOUNDED = 1e10  # dm_control's number for an actuator without limits
# lqr draws its masses and springs when it is loaded: the model is no part of
# the episode, so it must not depend on the seeds that follow.
_MODEL_SEED = 0


class DmcEnv:
  """One task of the suite: its own keys as float32, or one picture."""

  success_reward: float | None = None

  def __init__(
    self,
    domain: str,
    task: str,
    *,
    pixels: bool,
    image_size: int,
    camera: int | str | None,
    shadows: bool,
    render_size: int,
  ) -> None:
    self._env = _suite().load(domain, task, task_kwargs={"random": _MODEL_SEED})
    # Their reset would make an OpenGL context in whichever thread calls it.
    self._resets_in_thread = pixels or (domain, task) == ("quadruped", "escape")
    self._pixels = pixels
    self._camera = _CAMERAS.get(domain, 0) if camera is None else camera
    self._size, self._render_size = image_size, render_size
    self._view = dmc_pixels.View(
      self._env.physics, shadows, max(image_size, render_size)
    )
    self._seen: Mapping[str, Any] | None = None  # None: no episode yet
    self._steppable = False
    self.control_hz = 1.0 / self._env.control_timestep()
    self.action_space = _action_space(self._env.action_spec())
    self.observation_space = self._spaces()
    if pixels:
      self._view.draw(self._camera, self._size)  # fails here, if it must

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Begins the episode that the suite's task draws from `seed`."""
    self._env.task.random.seed(seed % 2**32)
    if self._resets_in_thread:
      self._view.open()
      self._seen = dmc_pixels.in_drawing_thread(self._env.reset).observation
    else:
      self._seen = self._env.reset().observation
    self._steppable = True
    return base.Step(
      self.observe() if observe else None, 0.0, True, False, False
    )

  def step(
    self, action: Float[np.ndarray, " A"], observe: bool = True
  ) -> base.Step:
    """Applies the controls; MuJoCo clips them to the actuators' ranges."""
    if not self._steppable:
      raise RuntimeError("the episode is over or has not begun: call reset()")
    spaces.check_finite(action)
    step = self._env.step(action)
    self._seen = step.observation
    is_last = step.last()
    self._steppable = not is_last
    return base.Step(
      self.observe() if observe else None,
      float(step.reward),
      False,
      is_last,
      is_last and step.discount == 0,
    )

  def observe(self) -> base.Observation:
    """Returns the suite's keys, or "image" alone, of the present state."""
    if self._pixels:
      return {"image": self._view.draw(self._camera, self._size)}
    assert self._seen is not None, "call reset() first"
    return {
      name: np.array(self._seen[name], np.float32)
      for name in self.observation_space
    }

  def render(self, camera: str = "") -> UInt8[np.ndarray, "H W 3"]:
    """Returns the picture from a camera, by name or number; "": the default.

    Raises:
      UserError: there is no such camera, or no OpenGL.
    """
    return self._view.draw(camera or self._camera, self._render_size)

  def close(self) -> None:
    """Ends the episode and frees the OpenGL context if there is one."""
    self._steppable = False
    self._view.close()

  def _spaces(self) -> dict[str, base.Space]:
    if self._pixels:
      shape = (self._size, self._size, 3)
      return {"image": base.Space(shape, "uint8", 0.0, 255.0)}
    return {
      name: base.Space(tuple(spec.shape), "float32")
      for name, spec in self._env.observation_spec().items()
      if 0 not in spec.shape
    }


def _action_space(spec: Any) -> base.Space:
  low = np.where(spec.minimum <= -_UNBOUNDED, -np.inf, spec.minimum)
  high = np.where(spec.maximum >= _UNBOUNDED, np.inf, spec.maximum)
  return base.Space(
    tuple(spec.shape), "float32", tuple(low.tolist()), tuple(high.tolist())
  )


def _suite() -> ModuleType:
  """Returns dm_control.suite, which by itself demands OpenGL of its import."""
  simulator.load()  # chooses OpenGL's platform before dm_control looks
  try:
    return extras.load("dm_control.suite", "dmc")
  except (ImportError, AttributeError, OSError, RuntimeError):
    platform = os.environ.pop("MUJOCO_GL", None)
    os.environ["MUJOCO_GL"] = "disable"
    try:
      return extras.load("dm_control.suite", "dmc")
    finally:
      del os.environ["MUJOCO_GL"]
      if platform is not None:
        os.environ["MUJOCO_GL"] = platform


def names() -> dict[str, tuple[str, str]]:
  """Returns name -> (domain, task) of the whole suite."""
  tasks = _suite().ALL_TASKS
  found = {f"{domain}_{task}": (domain, task) for domain, task in tasks}
  return found | {"cup_catch": ("ball_in_cup", "catch")}


def make(
  task: str,
  *,
  pixels: bool = False,
  image_size: int = 64,
  camera: int | str | None = None,
  shadows: bool = True,
  render_size: int = 256,
) -> base.Env:
  """Returns the environment; nothing is drawn unless `pixels`.

  Args:
    task: domain and task, such as "walker_walk".
    pixels: observe one "image" instead of the vectors.
    image_size: its height and width.
    camera: name or number; None is the reference's choice.
    shadows: draw as the reference does; False leaves out shadows, reflections
      and multisampling, which takes a seventh of the time: other images.
    render_size: height and width of what `render` returns.
  """
  known = names()
  if task not in known:
    raise errors.unknown("task", f"dmc/{task}", [f"dmc/{k}" for k in known])
  for name, size in (("image_size", image_size), ("render_size", render_size)):
    if size < 1:
      raise errors.UserError(f"{name}={size}: an image needs a pixel")
  domain, short = known[task]
  return DmcEnv(
    domain,
    short,
    pixels=pixels,
    image_size=image_size,
    camera=camera,
    shadows=shadows,
    render_size=render_size,
  )
