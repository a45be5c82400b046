"""Evaluation: many episodes in lock-step, one batched query for all of them.

Legend: N episodes.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import math
import pathlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from carnet import errors, intervals, video
from carnet.envs import base

_THREADS = 8
_SHOW_EVERY_STEPS = 10


@runtime_checkable
class Policy(Protocol):
  """Acting with an explicit carry: a chunk queue, a recurrent state, ..."""

  def init(self, batch_size: int) -> Any:
    """Returns the carry at the start of `batch_size` episodes."""

  def needs_observation(self, carry: Any) -> bool:
    """Tells whether the next `act` looks; if not, nothing is rendered."""

  def act(
    self, carry: Any, observation: base.Observation | None, key: jax.Array
  ) -> tuple[Any, Any]:
    """Returns the new carry and actions [N, A]; the key is consumed.

    Where the action space is a dictionary, actions are one of [N, ...] arrays.
    """


class EnvironmentFailed(errors.UserError):
  """An environment raised, or gave a reward that is no number."""


class Stopped(Exception):
  """The evaluation was given up because `stop` said so."""


@dataclasses.dataclass(frozen=True)
class Episode:
  """What happened under one seed."""

  seed: int
  length: int
  total_reward: float
  highest_reward: float
  last_reward: float
  success: bool | None  # the success reward was reached; None: there is none
  held: bool | None  # and at the last step
  first_success_step: int | None
  is_cut: bool  # by the caller's step limit, before the environment ended it
  actions: tuple[base.Action, ...]  # for replays and videos

  def row(self) -> dict[str, Any]:
    """Returns the facts without the actions, as JSON values."""
    row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    del row["actions"]
    return row


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Episodes and what they add up to; rates with 95 % Wilson intervals."""

  episodes: tuple[Episode, ...]

  def summary(self) -> dict[str, Any]:
    """Returns rates, intervals, returns, and the histogram of success.

    The rates are None where the task has no notion of success.
    """
    returns = np.array([e.total_reward for e in self.episodes])
    count = len(returns)
    spread = float(returns.std(ddof=1)) if count > 1 else 0.0
    found = {
      "episodes": count,
      "mean_return": float(returns.mean()),
      "standard_error": spread / count**0.5,
      "lowest_return": float(returns.min()),
      "highest_return": float(returns.max()),
    }
    return found | self._success()

  def _success(self) -> dict[str, Any]:
    count = len(self.episodes)
    if any(e.success is None for e in self.episodes):
      return {"success_rate": None}
    successes = sum(bool(e.success) for e in self.episodes)
    held = sum(bool(e.held) for e in self.episodes)
    low, high = intervals.wilson(successes, count)
    held_low, held_high = intervals.wilson(held, count)
    highest = [e.highest_reward for e in self.episodes]
    return {
      "successes": successes,
      "success_rate": successes / count,
      "low": low,
      "high": high,
      "held_rate": held / count,
      "held_low": held_low,
      "held_high": held_high,
      "highest_reward_histogram": {
        f"{value:g}": highest.count(value) for value in sorted(set(highest))
      },
    }

  def write(self, path: pathlib.Path, facts: dict[str, Any]) -> None:
    """Writes `facts`, the summary and one row an episode as JSON.

    Raises:
      UserError: the file cannot be written; an older one is untouched.
    """
    rows = [e.row() for e in self.episodes]
    report = facts | {"summary": self.summary(), "per_episode": rows}
    draft = path.with_suffix(".tmp")
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      draft.write_text(json.dumps(report, indent=2) + "\n")
      draft.replace(path)
    except OSError as error:
      draft.unlink(missing_ok=True)
      raise errors.UserError(
        f"cannot write {path}: {error.strerror}"
      ) from error


class _Running:
  """One environment and what it has done so far."""

  def __init__(self, env: base.Env, seed: int) -> None:
    self.env, self.seed, self.done = env, seed, False
    self.rewards: list[float] = []
    self.actions: list[base.Action] = []
    with self._telling():
      env.reset(seed, observe=False)

  def step(self, action: base.Action) -> None:
    if self.done:
      return
    with self._telling():
      step = self.env.step(action, observe=False)
    if not math.isfinite(step.reward):
      raise EnvironmentFailed(
        f"seed {self.seed}, step {len(self.rewards) + 1}: the reward is "
        f"{step.reward}"
      )
    self.rewards.append(step.reward)
    self.actions.append(action)
    self.done = step.is_last

  def observe(self) -> base.Observation:
    with self._telling():
      return self.env.observe()

  @contextlib.contextmanager
  def _telling(self) -> Iterator[None]:
    try:
      yield
    except errors.UserError:
      raise
    except Exception as error:  # whatever a simulator raises
      failed = EnvironmentFailed(
        f"the environment of seed {self.seed} failed: {type(error).__name__} "
        f"{error}"
      )
      failed.add_note("".join(traceback.format_exception(error)))
      raise failed from error

  def episode(self) -> Episode:
    goal = self.env.success_reward
    reached = [
      i for i, r in enumerate(self.rewards) if goal is not None and r >= goal
    ]
    return Episode(
      seed=self.seed,
      length=len(self.rewards),
      total_reward=float(sum(self.rewards)),
      highest_reward=float(max(self.rewards)),
      last_reward=float(self.rewards[-1]),
      success=None if goal is None else bool(reached),
      held=None
      if goal is None
      else bool(reached) and reached[-1] == len(self.rewards) - 1,
      first_success_step=reached[0] if reached else None,
      is_cut=not self.done,
      actions=tuple(self.actions),
    )


def evaluate(
  make_env: Callable[[], base.Env],
  policy: Policy,
  seeds: Sequence[int],
  key: jax.Array,
  on_step: Callable[[int], None] = lambda step: None,
  limit: int | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
  """Runs one episode a seed, all at once, until the last has ended.

  Environments step in threads (their physics and rendering release the GIL);
  the policy is asked for all of them in one batch.

  Args:
    make_env: makes one environment.
    policy: acts.
    seeds: one episode each.
    key: for the policy.
    on_step: hears the step now and then.
    limit: steps after which episodes are cut.
    stop: asked at each step; True gives up.

  Raises:
    EnvironmentFailed: it names the seed.
    Stopped: `stop` said so.
  """
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    running = list(pool.map(lambda seed: _Running(make_env(), seed), seeds))
    try:
      carry, step = policy.init(len(seeds)), 0
      while not all(one.done for one in running) and step != limit:
        if stop():
          raise Stopped
        observation = None
        if policy.needs_observation(carry):
          frames = list(pool.map(_Running.observe, running))
          observation = {k: np.stack([f[k] for f in frames]) for k in frames[0]}
        key, act_key = jax.random.split(key)
        carry, actions = policy.act(carry, observation, act_key)
        each = per_episode(actions, len(running))
        list(pool.map(_Running.step, running, each))
        step += 1
        if step % _SHOW_EVERY_STEPS == 0:
          on_step(step)
      return Evaluation(tuple(one.episode() for one in running))
    finally:
      for one in running:
        one.env.close()


def per_episode(actions: Any, count: int) -> list[base.Action]:
  """Returns a copy of each episode's part of batched actions."""
  if isinstance(actions, dict):
    return [
      {k: np.array(x[i]) for k, x in actions.items()} for i in range(count)
    ]
  return [np.array(actions[i]) for i in range(count)]


def record(
  env: base.Env,
  seed: int,
  actions: Sequence[base.Action],
  camera: str,
  path: pathlib.Path,
  every_steps: int = 2,
) -> None:
  """Replays `actions` and writes an H.264 MP4 in real time.

  The replay repeats the evaluated episode exactly, at any resolution and from
  any camera of `env`, so that evaluating costs no rendering for videos.
  """

  def frames() -> Iterator[np.ndarray]:
    env.reset(seed, observe=False)
    for index, action in enumerate(actions):
      if index % every_steps == 0:
        yield env.render(camera)
      env.step(action, observe=False)

  rate = max(1, round(env.control_hz / every_steps))
  video.write(path, frames(), rate)
