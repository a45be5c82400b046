"""A simulator without physics, whose every number can be told in advance.

Frame t of seed s: qpos = sin(1.37 s + t/7 + joint), qvel = cos of it, action =
qpos one step later; images are smooth ramps shifted by s and t. Seeds that
end in 3 fail.
"""

import dataclasses
import multiprocessing
import os
import sys
import time
from typing import Any

import numpy as np

from carnet import errors

STEPS = 20
JOINTS = 14


@dataclasses.dataclass(frozen=True)
class Demonstration:
  actions: np.ndarray
  success: bool


@dataclasses.dataclass(frozen=True)
class Step:
  observation: dict[str, np.ndarray] | None
  reward: float
  is_first: bool
  is_last: bool
  is_terminal: bool


def qpos(seed: int, frame: int) -> np.ndarray:
  return np.sin(1.37 * seed + frame / 7 + np.arange(JOINTS)).astype(np.float32)


def image(seed: int, frame: int, camera: str, height: int, width: int) -> Any:
  rows, columns = np.mgrid[:height, :width]
  shift = 3 * seed + 5 * frame + 40 * len(camera)
  channels = (rows + shift, columns + 2 * shift, rows + columns)
  return np.stack(channels, -1).astype(np.uint8)


class Environment:
  control_hz = 50.0
  success_reward = 4.0

  def __init__(self, settings: Any, step_seconds: float):
    self._settings = settings
    self._step_seconds = step_seconds

  def reset(self, seed: int, observe: bool = True) -> Step:
    self._seed, self._frame = seed, 0
    return Step(self._observe(), 0.0, True, False, False)

  def step(self, action: np.ndarray, observe: bool = True) -> Step:
    time.sleep(self._step_seconds)
    np.testing.assert_array_equal(action, qpos(self._seed, self._frame + 1))
    self._frame += 1
    reward = 4.0 if self._frame >= STEPS - 2 else float(self._frame % 3)
    observation = self._observe() if observe else None
    last = self._frame >= self._settings.max_steps
    return Step(observation, reward, False, last, False)

  def _observe(self) -> dict[str, np.ndarray]:
    size = self._settings.height, self._settings.width
    joints = qpos(self._seed, self._frame)
    return {
      "qpos": joints,
      "qvel": np.cos(joints),
      **{
        f"images/{camera}": image(self._seed, self._frame, camera, *size)
        for camera in self._settings.cameras
      },
    }

  def close(self) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class Simulator:
  step_seconds: float = 0.0

  def demonstrate(self, task: str, seed: int) -> Demonstration:
    if multiprocessing.parent_process() is not None:
      heavy = {"jax", "tensorflow", "tensorflow_datasets"} & set(sys.modules)
      assert not heavy, f"a worker imported {heavy}"
    actions = np.stack([qpos(seed, frame + 1) for frame in range(STEPS)])
    return Demonstration(actions, success=seed % 10 != 3)

  def make(self, settings: Any) -> Environment:
    return Environment(settings, self.step_seconds)


class Hopeless(Simulator):
  """Fails on every seed."""

  def demonstrate(self, task: str, seed: int) -> Demonstration:
    result = super().demonstrate(task, seed)
    return dataclasses.replace(result, success=False)


class Dying(Simulator):
  """Takes its process down."""

  def demonstrate(self, task: str, seed: int) -> Demonstration:
    os._exit(9)


class Lost(Simulator):
  """Knows another camera."""

  def make(self, settings: Any) -> Environment:
    raise errors.unknown("camera", "topp", ["top"])
