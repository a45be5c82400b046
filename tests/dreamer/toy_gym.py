"""Environments that Gymnasium knows, with the spaces of CartPole, and faults.

Their processes import this module.
"""

import os

import gymnasium
import numpy as np


class Fault(gymnasium.Env):
  """Ten steps, of which the fifth goes wrong; a process dies only once."""

  def __init__(self, fault, render_mode=None):
    self._fault = fault
    self.observation_space = gymnasium.spaces.Box(-9, 9, (4,), np.float32)
    self.action_space = gymnasium.spaces.Discrete(2)

  def reset(self, seed=None, options=None):
    super().reset(seed=seed)
    self._steps = 0
    return self._show(), {}

  def step(self, action):
    self._steps += 1
    wrong = self._steps == 5
    if wrong and self._fault == "dies":
      self._die_once()
    reward = float("nan") if wrong and self._fault == "reward" else 1.0
    return self._show(), reward, False, self._steps == 10, {}

  def _show(self):
    seen = np.full(4, self._steps, np.float32)
    if self._steps == 5 and self._fault == "observation":
      seen[2] = np.nan
    return seen

  def _die_once(self):
    try:
      os.close(os.open(os.environ["TOY_GYM_DIED"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
      return
    os._exit(7)


for fault in ("reward", "observation", "dies"):
  gymnasium.register(f"{fault.title()}-v0", Fault, kwargs={"fault": fault})
