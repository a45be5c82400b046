"""Episodes in progress: their returns and lengths, and the step counter."""

from typing import Any

import numpy as np

from carnet import errors
from carnet.envs import vector


class Episodes:
  """Counts steps and adds up rewards; a component of the checkpoint.

  Attributes:
    steps: of the policy, of all environments together.
    ended: how many episodes ended.
  """

  def __init__(self, environments: int) -> None:
    self.steps, self.ended = 0, 0
    self._returns = np.zeros(environments)
    self._lengths = np.zeros(environments, np.int64)

  def __call__(self, seen: vector.Batch) -> list[dict[str, int | float]]:
    """Takes what a step led to; returns the episodes that ended with it.

    Each has `return`, `length` in steps of the policy, and `environment`.
    """
    self.steps += len(self._returns)
    self._returns = np.where(seen.is_first, 0.0, self._returns + seen.reward)
    self._lengths = np.where(seen.is_first, 0, self._lengths + 1)
    (last,) = np.nonzero(seen.is_last)
    self.ended += len(last)
    return [
      {
        "return": float(self._returns[i]),
        "length": int(self._lengths[i]),
        "environment": int(i),
      }
      for i in last
    ]

  def state(self) -> dict[str, Any]:
    """Returns everything as JSON."""
    return {
      "steps": self.steps,
      "ended": self.ended,
      "returns": self._returns.tolist(),
      "lengths": self._lengths.tolist(),
    }

  def load_state(self, state: dict[str, Any]) -> None:
    """Goes on from a state.

    Raises:
      UserError: it is of another number of environments.
    """
    if len(state["returns"]) != len(self._returns):
      raise errors.UserError(
        f"the run had {len(state['returns'])} environments, not "
        f"{len(self._returns)}: set config.loop.environments as it was"
      )
    self.steps, self.ended = state["steps"], state["ended"]
    self._returns = np.array(state["returns"], np.float64)
    self._lengths = np.array(state["lengths"], np.int64)
