"""What an environment is; every agent and the rollout know only this."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

# "images/<camera>": uint8 [H, W, 3]; "qpos", "qvel", ...: float32 vectors.
Observation = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Space:
  """Shape, dtype and bounds of an array; one bound for all, or one each."""

  shape: tuple[int, ...]
  dtype: str
  low: float | tuple[float, ...] = -np.inf
  high: float | tuple[float, ...] = np.inf


@dataclasses.dataclass(frozen=True)
class Step:
  """What happened; the reward belongs to the action that led here.

  `is_last` ends the episode; `is_terminal` besides says that nothing can
  follow, where a mere step limit leaves the future open (DreamerV3's flags).
  """

  observation: Observation | None  # None when not asked for
  reward: float
  is_first: bool
  is_last: bool
  is_terminal: bool


@runtime_checkable
class Env(Protocol):
  """An episodic task.

  `reset(seed)` begins an episode that is a pure function of the seed and the
  actions. After a step with `is_last`, `step` raises until the next `reset`.
  With `observe=False` nothing is rendered and the observation is None; the
  physics is the same. One environment belongs to one thread at a time, and
  environments in different threads run in parallel.
  """

  observation_space: dict[str, Space]
  action_space: Space
  control_hz: float
  success_reward: float | None  # reaching it is success; None: no such notion

  def reset(self, seed: int, observe: bool = True) -> Step:
    """Begins the episode named by `seed`; the reward is 0."""

  def step(self, action: Float[np.ndarray, " A"], observe: bool = True) -> Step:
    """Applies one action for 1 / control_hz seconds."""

  def observe(self) -> Observation:
    """Returns the observation of the present state."""

  def render(self, camera: str) -> UInt8[np.ndarray, "H W 3"]:
    """Returns a picture of the present state for people to look at."""

  def close(self) -> None:
    """Releases what the environment holds; it cannot be used afterwards."""
