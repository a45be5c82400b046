"""N environments that step together, here or in processes, and resume exactly.

Legend: N environments.
"""

import dataclasses
import logging
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from carnet import errors
from carnet.checkpoint import chunks
from carnet.envs import (
  base,
  vector_checks,
  vector_group,
  vector_processes,
  vector_state,
)

_LOG = logging.getLogger("carnet")


@dataclasses.dataclass(frozen=True)
class Batch:
  """What N environments showed; nothing changes it later."""

  observation: dict[str, np.ndarray]  # each [N, ...]
  reward: Float32[np.ndarray, " N"]
  is_first: Bool[np.ndarray, " N"]
  is_last: Bool[np.ndarray, " N"]
  is_terminal: Bool[np.ndarray, " N"]


class Vector:
  """N environments; a component of `carnet.checkpoint`.

  Episode e of environment i is the one of the seed that numpy's
  `SeedSequence((seed, i, e))` gives, wherever the environment lives. An
  environment that raises an exception is made again, and a process that raises,
  dies or hangs is replaced; its environments begin their next episodes, and the
  rest goes on. A `UserError` of an environment is passed on.

  Attributes:
    observation_space: of one environment, as `action_space` and `control_hz`.
    restarts: how often an environment or a process was replaced.

  Args:
    make: returns an environment; with processes, it must be picklable.
    count: N.
    seed: of all episodes.
    processes: how many processes to share the environments out over; 0 steps
      them here, which is faster where a step takes less than some 20
      microseconds (of 16 environments, in two processes).
    timeout: seconds that a process may take to step its environments.
    max_restarts: of all environments together.

  Raises:
    UserError: an environment cannot be made, or an argument is wrong.
  """

  def __init__(
    self,
    make: Callable[[], base.Env],
    count: int,
    seed: int = 0,
    processes: int = 0,
    timeout: int | float = 60.0,
    max_restarts: int = 10,
  ) -> None:
    if count < 1 or processes < 0 or seed < 0 or timeout <= 0:
      raise errors.UserError(
        f"count={count}, processes={processes}, seed={seed}, timeout={timeout}:"
        " at least one environment, and no negative number"
      )
    self._seed, self._count = seed, count
    self._max_restarts, self.restarts = max_restarts, 0
    self._backend: vector_processes.Backend = (
      vector_processes.Processes(make, count, processes, timeout)
      if processes
      else vector_processes.Here(make, count)
    )
    spaces = self._spaces = self._backend.spaces
    self.observation_space = spaces.observation
    self.action_space = spaces.action
    self.control_hz = spaces.control_hz
    self._episodes = [-1] * count  # the number of each one's episode
    self._history = vector_state.History(count)
    self._live = False  # the buffers hold what the history led to

  def reset(self) -> Batch:
    """Begins an episode in every environment."""
    episodes = self._episodes.copy()
    self._live = False
    self._begin(episodes, range(self._count))
    self._recover(episodes, self._backend.advance(range(self._count)))
    self._check_finite(episodes, range(self._count))
    self._history = vector_state.History(self._count)
    self._episodes, self._live = episodes, True
    return self.current()

  def step(self, actions: Any) -> Batch:
    """Applies an action each; where an episode had ended, the next one begins.

    Args:
      actions: [N, ...], or such arrays by name where the action is a
        dictionary. Where the last step was `is_last`, they have no effect.

    Raises:
      UserError: the actions do not fit, an observation or reward is no finite
        number, or more than `max_restarts` failures were met.
    """
    if not self._live:
      raise RuntimeError("no episodes are under way: call reset()")
    taken = vector_checks.accept(actions, self._spaces, self._count)
    buffers, episodes = self._backend.buffers, self._episodes.copy()
    ended = np.flatnonzero(buffers.is_last).tolist()
    self._live = False
    self._begin(episodes, ended)
    for name, array in taken.items():
      buffers.action[name][...] = array
    failures = self._backend.advance(range(self._count))
    begun = [*ended, *self._recover(episodes, failures)]
    self._check_finite(episodes, begun)
    self._history.append(taken, begun)
    self._episodes, self._live = episodes, True
    return self.current()

  def current(self) -> Batch:
    """Returns what all environments show; begins if they have not begun."""
    if not self._live:
      if max(self._episodes) >= 0:
        raise RuntimeError("a step failed: reset() or load_state() first")
      return self.reset()
    found = self._backend.buffers
    return Batch(
      {name: rows.copy() for name, rows in found.observation.items()},
      found.reward.copy(),
      found.is_first.copy(),
      found.is_last.copy(),
      found.is_terminal.copy(),
    )

  def state(self) -> chunks.Chunked:
    """Returns the episodes' numbers and actions, before a step that failed."""
    buffers, numbers = self._backend.buffers, range(self._count)
    shown = [
      vector_state.digest(buffers, i) if self._live else "" for i in numbers
    ]
    return vector_state.to_state(
      self._spaces, self._seed, self._episodes, self._history, shown
    )

  def load_state(self, state: Any) -> None:
    """Begins the same episodes and goes through the same actions.

    Where an environment shows something else than it did, which an episode that
    is no pure function of seed and actions may, a warning says so.

    Raises:
      UserError: the state is of other environments, or of something else.
    """
    stored = vector_state.from_state(
      state, self._spaces, self._seed, self._count
    )
    episodes, self._live = list(stored.episodes), False
    self._history = vector_state.History(self._count)
    self._episodes = episodes
    if episodes[0] < 0:
      return
    failures = self._backend.replay(
      {
        i: vector_group.Episode(self._seed_of(i, episodes[i]), actions)
        for i, actions in enumerate(stored.actions)
      }
    )
    begun = self._recover(episodes, failures)
    for i in begun:
      stored.actions[i] = {k: a[:0] for k, a in stored.actions[i].items()}
    self._history.restore(stored.actions)
    self._live = True
    self._compare(stored.shown, begun)

  def close(self) -> None:
    """Closes all environments and ends their processes."""
    self._live = False
    self._backend.close()

  def __enter__(self) -> "Vector":
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: types.TracebackType | None,
  ) -> None:
    self.close()

  def _begin(self, episodes: list[int], members: Iterable[int]) -> None:
    """Says in `episodes` and to the backend that these go on to the next."""
    buffers = self._backend.buffers
    buffers.resets[:] = False
    for i in members:
      episodes[i] += 1
      buffers.resets[i] = True
      buffers.seeds[i] = self._seed_of(i, episodes[i])

  def _seed_of(self, i: int, episode: int) -> int:
    sequence = np.random.SeedSequence((self._seed, i, episode))
    return int(sequence.generate_state(1)[0])

  def _recover(
    self, episodes: list[int], failures: Sequence[vector_group.Failure]
  ) -> list[int]:
    """Returns the environments that failed, now in their next episodes."""
    begun: set[int] = set()
    while failures:
      for failure in failures:
        self._count_failure(failure)
      members = [i for failure in failures for i in failure.members]
      begun.update(members)
      self._begin(episodes, members)
      failures = self._backend.advance(members)
    return sorted(begun)

  def _count_failure(self, failure: vector_group.Failure) -> None:
    first, last = failure.members[0], failure.members[-1]
    several = f"environments {first}-{last}"
    name = several if last > first else f"environment {first}"
    if self.restarts >= self._max_restarts:
      error = errors.UserError(
        f"{name} failed after {self.restarts} restarts, which is all that "
        f"max_restarts={self._max_restarts} allows: {failure.reason}"
      )
      if failure.trace:
        error.add_note(failure.trace)
      raise error
    self.restarts += 1
    _LOG.warning(
      "%s: restart %d of at most %d, with new episodes: %s",
      *(name, self.restarts, self._max_restarts, failure.reason),
    )

  def _check_finite(
    self, episodes: Sequence[int], begun: Sequence[int]
  ) -> None:
    fault = vector_checks.not_finite(self._backend.buffers)
    if fault is None:
      return
    i, name = fault
    step = 0 if i in begun else self._history.length(i) + 1
    raise errors.UserError(
      f"environment {i}, episode {episodes[i]}, step {step}: '{name}' holds a "
      "NaN or an infinity"
    )

  def _compare(self, shown: Sequence[str], begun: Sequence[int]) -> None:
    for i, expected in enumerate(shown):
      found = vector_state.digest(self._backend.buffers, i)
      if expected and i not in begun and found != expected:
        _LOG.warning(
          "environment %d shows something else than when it was saved: was it "
          "on another machine, or is it no pure function of seed and actions?",
          i,
        )
