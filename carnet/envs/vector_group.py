"""Several environments of one process, stepped one after another."""

import contextlib
import dataclasses
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from carnet import errors
from carnet.envs import base, vector_buffers


@dataclasses.dataclass(frozen=True)
class Failure:
  """Why environments must begin new episodes."""

  members: tuple[int, ...]
  reason: str  # one line
  trace: str


@dataclasses.dataclass(frozen=True)
class Episode:
  """A beginning of an episode to go through again; actions are [T, ...]."""

  seed: int
  actions: Mapping[str, np.ndarray]


class Group:
  """The environments `first` ... `first + count - 1`.

  Args:
    make: returns an environment.
    first: the number of the first, for messages and rows.
    count: how many.
  """

  def __init__(
    self, make: Callable[[], base.Env], first: int, count: int
  ) -> None:
    self._make, self._first = make, first
    self._envs: list[base.Env | None] = []
    try:
      for _ in range(count):
        self._envs.append(make())
    except BaseException:
      self.close()
      raise
    assert self._envs[0] is not None
    self.spaces = vector_buffers.spaces_of(self._envs[0])
    self._bare = isinstance(self.spaces.action, base.Space)

  def attach(self, buffers: vector_buffers.Buffers) -> None:
    """Takes the arrays, of all environments, to read from and write to."""
    self._buffers = buffers
    self._rows = list(buffers.observation.items())

  def advance(self, members: Iterable[int]) -> list[Failure]:
    """Steps the environments, or resets those that `resets` names.

    Raises:
      UserError: an environment raised it.
    """
    resets, seeds = self._buffers.resets.tolist(), self._buffers.seeds
    # Environments may keep what they are given.
    actions = {k: array.copy() for k, array in self._buffers.action.items()}
    bare = actions["action"] if self._bare else None
    failures = []
    for i in members:
      try:
        env = self._envs[i - self._first] or self._make_again(i)
        if resets[i]:
          step = env.reset(int(seeds[i]))
          self._check(step.observation)
        elif bare is not None:
          step = env.step(bare[i, ...])
        else:
          step = env.step({k: array[i, ...] for k, array in actions.items()})
        self._write(i, step)
      except errors.UserError:
        raise
      except Exception as error:
        failures.append(self._drop(i, error))
    return failures

  def replay(
    self, i: int, episode: Episode, alive: Callable[[], None] = lambda: None
  ) -> list[Failure]:
    """Goes through an episode's beginning; only its last step is looked at.

    Args:
      i: the environment.
      episode: what it did.
      alive: called after each step.
    """
    count = len(next(iter(episode.actions.values())))
    try:
      env = self._envs[i - self._first] or self._make_again(i)
      step = env.reset(episode.seed, observe=not count)
      for t in range(count):
        if step.is_last:
          raise ValueError(f"the episode ended after {t} of {count} actions")
        rows = {k: np.array(a[t]) for k, a in episode.actions.items()}
        action = rows["action"] if self._bare else rows
        step = env.step(action, observe=t == count - 1)
        alive()
      self._check(step.observation)
      self._write(i, step)
    except errors.UserError:
      raise
    except Exception as error:
      return [self._drop(i, error)]
    return []

  def close(self) -> None:
    """Closes all environments."""
    for env in self._envs:
      if env is not None:
        env.close()
    self._envs = []

  def _make_again(self, i: int) -> base.Env:
    env = self._envs[i - self._first] = self._make()
    return env

  def _write(self, i: int, step: base.Step) -> None:
    observation, buffers = step.observation, self._buffers
    assert observation is not None, "the observation is None"
    for name, rows in self._rows:
      if np.shape(observation[name]) != rows.shape[1:]:
        self._check(observation)
      rows[i] = observation[name]
    buffers.reward[i] = step.reward
    buffers.is_first[i] = step.is_first
    buffers.is_last[i] = step.is_last
    buffers.is_terminal[i] = step.is_terminal

  def _check(self, observation: base.Observation | None) -> None:
    """A row would take other shapes and dtypes in silence.

    Shapes are looked at in each step, dtypes once an episode.
    """
    for name, space in self.spaces.observation.items():
      array = np.asarray((observation or {}).get(name))
      if (array.shape, array.dtype) != (space.shape, np.dtype(space.dtype)):
        raise errors.UserError(
          f"the environment shows '{name}' as {array.dtype} "
          f"{list(array.shape)}, but its observation_space says "
          f"{space.dtype} {list(space.shape)}"
        )

  def _drop(self, i: int, error: Exception) -> Failure:
    env, self._envs[i - self._first] = self._envs[i - self._first], None
    if env is not None:
      with contextlib.suppress(Exception):  # it is broken already
        env.close()
    return failure((i,), error)


def failure(members: Sequence[int], error: Exception) -> Failure:
  """Returns what an exception means for these environments."""
  text = " ".join(str(error).split())
  trace = "".join(traceback.format_exception(error))
  return Failure(tuple(members), f"{type(error).__name__}: {text}", trace)
