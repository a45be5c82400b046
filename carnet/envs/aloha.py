"""Two ViperX arms: transfer a cube, insert a peg (ACT, arXiv:2304.13705).

Plain MuJoCo on gym-aloha's scenes. Same seed and actions give the same state
and reward as gym_aloha 0.1.5, held by tests/carnet/envs/test_aloha.py. Departs
from it where it is at fault: cameras and sizes are options and only they are
rendered, the step limit is 400 (scripted insertions succeed after 340), and
the action space states the joints' true span.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from carnet import errors
from carnet.envs import aloha_scene, base, renderers, simulator

_LEFT_FINGER = "vx300s_left/10_left_gripper_finger"
_RIGHT_FINGER = "vx300s_right/10_right_gripper_finger"
_SOCKET = ("socket-1", "socket-2", "socket-3", "socket-4")
_LOWEST = (-3.14158, -1.85005, -1.76278, -3.14158, -1.8675, -3.14158, 0.0)
_HIGHEST = (3.14158, 1.25664, 1.6057, 3.14158, 2.23402, 3.14158, 1.0)
Contacts = set[tuple[str, str]]


def transfer_cube_reward(contacts: Contacts) -> float:
  """1 touched by the right, 2 lifted, 3 touched by the left, 4 handed over."""
  off_table = ("red_box", "table") not in contacts
  if ("red_box", _LEFT_FINGER) in contacts:
    return 4.0 if off_table else 3.0
  if ("red_box", _RIGHT_FINGER) in contacts:
    return 2.0 if off_table else 1.0
  return 0.0


def insertion_reward(contacts: Contacts) -> float:
  """1 both touched, 2 both lifted, 3 peg meets socket, 4 peg touches pin."""
  if ("red_peg", "pin") in contacts:
    return 4.0
  on_table = ("red_peg", "table") in contacts or any(
    (side, "table") in contacts for side in _SOCKET
  )
  if not on_table and any(("red_peg", side) in contacts for side in _SOCKET):
    return 3.0
  held_left = any((side, _LEFT_FINGER) in contacts for side in _SOCKET)
  if held_left and ("red_peg", _RIGHT_FINGER) in contacts:
    return 1.0 if on_table else 2.0
  return 0.0


_REWARDS: dict[str, Callable[[Contacts], float]] = {
  "transfer_cube": transfer_cube_reward,
  "insertion": insertion_reward,
}


def reward(task: str, scene: aloha_scene.Scene, data: Any) -> float:
  """Returns the reward, 0 to 4, of the present contacts."""
  return _REWARDS[task](scene.touching(data))


class AlohaEnv:
  """14 joint targets in, pictures and joint states out, at 50 Hz."""

  control_hz = aloha_scene.CONTROL_HZ
  success_reward: float | None = 4.0
  # Joint targets in rad, within the actuators' ranges; grippers 0 to 1.
  action_space = base.Space((14,), "float32", _LOWEST * 2, _HIGHEST * 2)

  def __init__(
    self,
    task: str,
    *,
    cameras: Sequence[str] = ("top",),
    height: int = 480,
    width: int = 640,
    renderer: str = "gl",
    shadows: bool = False,
    msaa_samples: int = 0,
    max_steps: int = 400,
    terminate_on_success: bool = False,
  ) -> None:
    self._mujoco = simulator.load()
    self._task, self._scene = task, aloha_scene.load(task)
    if isinstance(cameras, str):
      raise errors.UserError(f"cameras={cameras!r}: give a list of names")
    for camera in cameras:
      self._check_camera(camera)
    if max_steps < 1:
      raise errors.UserError(f"max_steps={max_steps}: at least one is needed")
    self._settings = renderers.Settings(
      renderer, height, width, shadows, msaa_samples
    )
    self._renderer = renderers.make(self._scene.model, self._settings)
    self._cameras, self._max_steps = tuple(cameras), max_steps
    self._terminate_on_success = terminate_on_success
    self.data = self._mujoco.MjData(self._scene.model)
    self._steps_left: int | None = None  # None: no episode is under way
    image = base.Space((height, width, 3), "uint8", 0.0, 255.0)
    self.observation_space = {f"images/{c}": image for c in cameras} | {
      # Wider than any state met; grippers in units of their own span.
      "qpos": base.Space((14,), "float32", -10.0, 10.0),
      "qvel": base.Space((14,), "float32", -1000.0, 1000.0),
    }

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Places the arms at rest and the objects where the seed puts them."""
    place(self._scene, self.data, aloha_scene.sample_objects(self._task, seed))
    self.data.ctrl[:] = aloha_scene.START_POSE
    self._steps_left = self._max_steps
    return base.Step(
      self.observe() if observe else None, 0.0, True, False, False
    )

  def step(
    self, action: Float[np.ndarray, " 14"], observe: bool = True
  ) -> base.Step:
    """Holds the joint targets for 20 ms."""
    if self._steps_left is None:
      raise RuntimeError("the episode is over or has not begun: call reset()")
    self.data.ctrl[:] = controls(action)
    advance(self._scene, self.data)
    value = reward(self._task, self._scene, self.data)
    self._steps_left -= 1
    is_terminal = self._terminate_on_success and value == self.success_reward
    is_last = is_terminal or self._steps_left == 0
    if is_last:
      self._steps_left = None
    observation = self.observe() if observe else None
    return base.Step(observation, value, False, is_last, is_terminal)

  def observe(self) -> base.Observation:
    """Returns "images/<camera>", "qpos" and "qvel" of the present state."""
    positions = aloha_scene.arm_positions(self.data.qpos)
    velocities = aloha_scene.arm_velocities(self.data.qvel)
    images = {
      f"images/{camera}": self._renderer.render(self.data, camera)
      for camera in self._cameras
    }
    return images | {
      "qpos": positions.astype(np.float32),
      "qvel": velocities.astype(np.float32),
    }

  def render(self, camera: str) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the picture from any camera of the scene."""
    self._check_camera(camera)
    return self._renderer.render(self.data, camera)

  def close(self) -> None:
    """Ends the episode; renderers are shared and end with the process."""
    self._steps_left = None

  def _check_camera(self, camera: str) -> None:
    if camera not in self._scene.cameras:
      raise errors.unknown("camera", camera, self._scene.cameras)


def place(
  scene: aloha_scene.Scene, data: Any, objects: Float[np.ndarray, " Q"]
) -> None:
  """Resets `data` to arms at rest and the objects at these poses."""
  mujoco = simulator.load()
  mujoco.mj_resetData(scene.model, data)
  data.qpos[:16] = aloha_scene.START_POSE
  data.qpos[16:] = objects
  # Without actuation, as dm_control does: there are no controls yet.
  mujoco.mj_forward(scene.passive_model, data)


def advance(scene: aloha_scene.Scene, data: Any) -> None:
  """Advances by one control period, ending with up-to-date positions.

  dm_control's order: contacts and geom poses belong to the state returned, as
  plain mj_step would leave them one substep behind.
  """
  mujoco = simulator.load()
  mujoco.mj_step2(scene.model, data)
  mujoco.mj_step(scene.model, data, scene.substeps - 1)
  mujoco.mj_step1(scene.model, data)


def controls(action: Float[np.ndarray, " 14"]) -> Float[np.ndarray, " 16"]:
  """Returns the actuators' targets; `UserError` unless all are finite."""
  if not np.all(np.isfinite(action)):
    raise errors.UserError(
      "the action holds a NaN or an infinity: the policy has diverged"
    )
  # In the action's own precision, as gym_aloha: contacts feel the difference.
  arms = np.asarray(action).reshape(2, 7)
  fingers = aloha_scene.gripper_to_metres(arms[:, 6:])
  return np.concatenate([arms[:, :6], fingers, -fingers], axis=1).reshape(16)


def make(task: str, **options: Any) -> base.Env:
  """Returns the environment; `UserError` for an option it does not have."""
  known = list(inspect.signature(AlohaEnv).parameters)[1:]
  for name in options:
    if name not in known:
      raise errors.unknown(f"option of aloha/{task}:", name, known)
  return AlohaEnv(task, **options)
