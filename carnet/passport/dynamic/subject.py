"""A policy under examination: what a family hands over to be measured.

A family's module of the entry point group "carnet.examinations" has

    examine(directory, pipeline, dataset_path) -> Subject

and so may a program of somebody else's, named on the command line.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np

from carnet import errors, rollout
from carnet.envs import base
from carnet.passport import family

_STEPS = 4  # of an episode, for a recurrent policy


@dataclasses.dataclass(frozen=True)
class Frames:
  """Real observations in order, as the policy takes them, without a batch."""

  source: str
  episode: int
  observations: tuple[base.Observation, ...]


@dataclasses.dataclass(frozen=True)
class Bounds:
  """What actions must stay within, and who says so."""

  source: Literal["action_space", "clip_value", "action_stats"]
  low: np.ndarray
  high: np.ndarray


@dataclasses.dataclass(frozen=True)
class Subject:
  """A policy and what is needed to question it.

  Attributes:
    policy: as it is deployed.
    entry_point: "module:function" through which it is questioned.
    expected: leaf path -> (shape, dtype), as the model's own code has them.
    params: leaf path -> array, as the checkpoint has them.
    frames: count -> so many real observations; None if there are none here.
    calibrate: (generator, count) -> observations [count, ...].
    bounds: of the actions.
    action_statistics: mean and standard deviation in the data, or None.
    recurrent: whether the carry links one step to the next.
  """

  policy: rollout.Policy
  entry_point: str
  expected: Mapping[str, tuple[tuple[int, ...], str]]
  params: Mapping[str, np.ndarray]
  frames: Callable[[int], Frames] | None
  calibrate: Callable[[np.random.Generator, int], base.Observation]
  bounds: Bounds
  action_statistics: tuple[np.ndarray, np.ndarray] | None
  recurrent: bool


Examine = Callable[[pathlib.Path, tuple, pathlib.Path | None], Subject]


def find(agent: str, entry: str | None) -> Examine | None:
  """Returns how a policy is examined, by family or by "module:function".

  Raises:
    UserError: there is no such module or function.
  """
  if entry:
    return _named(entry)
  for found in family.entries(family.EXAMINATIONS):
    if found.name == agent:
      return found.load()
  return None


def _named(entry: str) -> Examine:
  module, _, name = entry.partition(":")
  try:
    return getattr(importlib.import_module(module), name)
  except (ImportError, AttributeError, ValueError) as error:
    raise errors.UserError(
      f"--entry={entry}: {error}; give module:function, PYTHONPATH says where"
    ) from error


def shapes(leaves: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
  """Returns shape and dtype by path, as `Subject.expected` has them."""
  return {
    path: (tuple(leaf.shape), np.dtype(leaf.dtype).name)
    for path, leaf in leaves.items()
  }


def ask(
  subject: Subject, carry: Any, observation: base.Observation, key: jax.Array
) -> tuple[Any, np.ndarray]:
  """Returns the next carry and actions [N, A], dictionaries joined by key."""
  carry, action = subject.policy.act(carry, observation, key)
  return carry, join(action)


def join(action: Any) -> np.ndarray:
  """Returns actions [N, A] as float32; keys in order, each flattened."""
  parts = action if isinstance(action, dict) else {"": action}
  rows = [np.asarray(parts[name], np.float32) for name in sorted(parts)]
  return np.concatenate([x.reshape(x.shape[0], -1) for x in rows], axis=1)


def outputs(
  subject: Subject, observation: base.Observation, key: jax.Array
) -> np.ndarray:
  """Returns [N, D]: actions of fresh episodes, and what is carried on of them.

  A recurrent policy sees several observations in turn, each episode beginning
  at another of the N: a class that is drawn from one picture is often that of
  another picture too, a state after several is not.
  """
  count = len(next(iter(observation.values())))
  carry = subject.policy.init(count)
  for step in range(_STEPS if subject.recurrent else 1):
    now = {name: np.roll(x, step, axis=0) for name, x in observation.items()}
    carry, action = ask(subject, carry, now, jax.random.fold_in(key, step))
  return np.concatenate([action, *carried(subject, carry, count)], axis=1)


def carried(subject: Subject, carry: Any, count: int) -> list[np.ndarray]:
  """Returns the arrays of a carry, [N, D] each; none if it is no state."""
  if not subject.recurrent:
    return []
  leaves = [np.asarray(x) for x in jax.tree.leaves(carry)]
  return [
    x.astype(np.float32).reshape(count, -1)
    for x in leaves
    if x.ndim and len(x) == count
  ]
