"""Environments for tests of vectors; processes import this module."""

import os
import signal
import time

import numpy as np

from carnet import errors
from carnet.envs import base


class Walk:
  """A seeded walk whose episodes end by chance; faults on demand.

  Args:
    trouble: what happens at step 3 of an episode, or in making it.
    path: a file; trouble comes once only, and makes it.
  """

  control_hz = 10.0
  success_reward = None
  action_space = {  # noqa: RUF012
    "push": base.Space((2,), "float32", -1.0, 1.0),
    "turn": base.Space((), "int32", classes=3),
  }

  def __init__(self, trouble="", path=None):
    self.observation_space = {
      "place": base.Space((2,), "float32"),
      "image": base.Space((4, 4, 1), "uint8", 0.0, 255.0),
    }
    self._trouble, self._path, self._running = trouble, path, False
    if trouble == "make" and self._once():
      raise ValueError("no\nroad")

  def reset(self, seed, observe=True):
    self._random = np.random.default_rng(seed)
    self._place = self._random.normal(size=2)
    self._steps, self._running = 0, True
    observation = self.observe() if observe else None
    return base.Step(observation, 0.0, True, False, False)

  def step(self, action, observe=True):
    if not self._running:
      raise RuntimeError("no episode")
    self._place = self._place * 0.9 + action["push"] * self._random.random()
    self._steps += 1
    is_last = bool(self._random.random() < 0.15)
    self._running = not is_last
    reward = float(self._place.sum() * (1 + int(action["turn"])))
    if self._steps == 3 and self._trouble and self._once():
      reward = self._act_up()
    observation = self.observe() if observe else None
    terminal = is_last and self._steps % 2 == 0
    return base.Step(observation, reward, False, is_last, terminal)

  def observe(self):
    place = self._place.astype(np.float32)
    if self._trouble == "nan place" and self._steps == 3:
      place[1] = np.nan
    if self._trouble == "short place" and self._steps == 3:
      place = place[:1]
    value = int(abs(self._place[0]) * 100) % 256
    return {"place": place, "image": np.full((4, 4, 1), value, np.uint8)}

  def render(self, camera):
    return np.zeros((4, 4, 3), np.uint8)

  def close(self):
    self._running = False

  def _once(self):
    if self._path is None:
      return True
    try:
      os.close(os.open(self._path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
      return False
    return True

  def _act_up(self):
    if self._trouble == "exit":
      os._exit(7)
    if self._trouble == "kill":
      os.kill(os.getpid(), signal.SIGKILL)
    if self._trouble == "hang":
      time.sleep(60)
    if self._trouble == "raise":
      raise ValueError("lost\nthe way")
    if self._trouble == "user":
      raise errors.UserError("mend me")
    return float("nan") if self._trouble == "nan reward" else 0.0


def actions(step, count):
  """Returns the actions of `count` walks at a step, the same each time."""
  random = np.random.default_rng(step)
  return {
    "push": random.uniform(-1, 1, (count, 2)).astype(np.float32),
    "turn": random.integers(3, size=count).astype(np.int32),
  }
