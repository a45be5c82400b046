"""What an environment is; every agent and the rollout know only this."""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

# "images/<camera>", or "image" of a task with one: uint8 [H, W, channels];
# "qpos", "qvel", ...: float32; those of a space with classes: int32.
Observation = dict[str, np.ndarray]
# one array, or one a key where the action space is a dictionary
Action = np.ndarray | dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Space:
  """Shape, dtype and bounds of an array; one bound for all, or one each.

  With `classes`, each element is one of so many unordered values, 0 counted.
  `unscaled` is the space that a wrapper scaled to make this one; spaces are
  equal without regard to it.
  """

  shape: tuple[int, ...]
  dtype: str
  low: float | tuple[float, ...] = -np.inf
  high: float | tuple[float, ...] = np.inf
  classes: int = 0
  unscaled: "Space | None" = dataclasses.field(
    default=None, compare=False, repr=False
  )


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
  control_hz: float
  success_reward: float | None  # reaching it is success; None: no such notion

  @property
  def action_space(self) -> Space | dict[str, Space]:
    """What `step` takes."""

  def reset(self, seed: int, observe: bool = True) -> Step:
    """Begins the episode named by `seed`; the reward is 0."""

  def step(self, action: Any, observe: bool = True) -> Step:
    """Applies one `Action` for 1 / control_hz seconds."""

  def observe(self) -> Observation:
    """Returns the observation of the present state."""

  def render(self, camera: str) -> UInt8[np.ndarray, "H W 3"]:
    """Returns a picture of the present state for people to look at."""

  def close(self) -> None:
    """Releases what the environment holds; it cannot be used afterwards."""
