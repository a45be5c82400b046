"""The same environments under Gymnasium's interface.

`import carnet.envs` registers the ids, as Gymnasium knows no entry points; or
`gymnasium.make("carnet.envs:carnet/AlohaTransferCube-v0")` does both.
"""

from typing import Any

import gymnasium
import numpy as np
from jaxtyping import UInt8

from carnet import envs, errors
from carnet.envs import base


class GymnasiumEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
  """An environment of `envs.make`; options are passed on to it.

  The step limit is the environment's own and ends as truncation;
  `info["is_success"]` tells whether the reward is the one that means success.
  Rendering shows `render_camera`, by default the first of the cameras.
  """

  metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

  def __init__(
    self,
    name: str,
    render_mode: str | None = None,
    render_camera: str | None = None,
    **options: Any,
  ) -> None:
    self._env = envs.make(name, **options)
    self.render_mode = render_mode
    self.observation_space: Any = gymnasium.spaces.Dict(
      {k: _box(space) for k, space in self._env.observation_space.items()}
    )
    assert isinstance(self._env.action_space, base.Space)
    self.action_space = _box(self._env.action_space)
    names = list(self._env.observation_space)
    cameras = [n.removeprefix("images/") for n in names if "images/" in n]
    if not cameras:
      raise errors.UserError("cameras is empty: name at least one")
    self._render_camera = render_camera or cameras[0]

  def reset(
    self, *, seed: int | None = None, options: dict[str, Any] | None = None
  ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Begins the episode of `seed`, or of one drawn from Gymnasium's source."""
    super().reset(seed=seed)
    if seed is None:
      seed = int(self.np_random.integers(2**31))
    step = self._env.reset(seed)
    assert step.observation is not None
    return step.observation, {"is_success": False}

  def step(
    self, action: np.ndarray
  ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
    """Returns observation, reward, terminated, truncated and info."""
    step = self._env.step(action)
    assert step.observation is not None
    success = step.reward == self._env.success_reward
    truncated = step.is_last and not step.is_terminal
    return (
      step.observation,
      step.reward,
      step.is_terminal,
      truncated,
      {"is_success": success},
    )

  def render(self) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the present picture."""
    return self._env.render(self._render_camera)

  def close(self) -> None:
    """Closes the environment."""
    self._env.close()


def _box(space: base.Space) -> gymnasium.spaces.Box:
  dtype = np.dtype(space.dtype)
  low, high = (
    np.broadcast_to(np.asarray(bound, dtype), space.shape)
    for bound in (space.low, space.high)
  )
  return gymnasium.spaces.Box(low, high, dtype=dtype.type)
