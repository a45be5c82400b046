"""A function from observations to actions as a policy under examination."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from carnet import paths
from carnet.envs import base
from carnet.passport.dynamic import subject as subject_lib

Apply = Callable[[Any, base.Observation], jax.Array]


class Policy:
  """As `carnet.rollout.Policy`: nothing is carried from step to step."""

  def __init__(self, apply: Apply, params: Any) -> None:
    self._act = jax.jit(functools.partial(apply, params))

  def init(self, batch_size: int) -> None:
    """Returns the carry: there is none."""

  def needs_observation(self, carry: None) -> bool:
    """True."""
    return True

  def act(
    self, carry: None, observation: base.Observation | None, key: jax.Array
  ) -> tuple[None, np.ndarray]:
    """Returns actions [N, A]; the key is not used."""
    if observation is None:
      raise ValueError("act needs an observation")
    return None, np.asarray(self._act(observation))


def subject(
  apply: Apply,
  params: Any,
  expected: Any,
  observations: Sequence[base.Observation],
  source: str,
  low: Sequence[float],
  high: Sequence[float],
  item: str = "params",
) -> subject_lib.Subject:
  """Returns the subject of a policy without memory.

  Args:
    apply: (params, observations [N, ...]) -> actions [N, A].
    params: as restored.
    expected: the same tree as the model's own code makes it, perhaps abstract.
    observations: real ones in order, of one episode.
    source: where they come from.
    low: bounds of the actions.
    high: likewise.
    item: directory of the parameters below the checkpoint, "" for its own.
  """
  return subject_lib.Subject(
    policy=Policy(apply, params),
    entry_point=f"{apply.__module__}:{apply.__qualname__}",
    expected=subject_lib.shapes(_leaves(expected, item)),
    params={
      path: np.asarray(leaf) for path, leaf in _leaves(params, item).items()
    },
    frames=lambda count: subject_lib.Frames(
      source, 0, tuple(observations[:count])
    ),
    calibrate=functools.partial(_calibrate, observations),
    bounds=subject_lib.Bounds("action_space", np.array(low), np.array(high)),
    action_statistics=None,
    recurrent=False,
  )


def _leaves(tree: Any, item: str) -> dict[str, Any]:
  """Returns the leaves by the paths under which Orbax stores them."""
  found, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    paths.join(
      item, jax.tree_util.keystr(keys, simple=True, separator="/")
    ): leaf
    for keys, leaf in found
  }


def _calibrate(
  observations: Sequence[base.Observation],
  generator: np.random.Generator,
  count: int,
) -> base.Observation:
  """Returns noise: uniform over bytes, normal about what was observed."""
  made = {}
  for name in observations[0]:
    seen = np.stack([np.asarray(o[name]) for o in observations])
    shape = (count, *seen.shape[1:])
    if seen.dtype == np.uint8:
      made[name] = generator.integers(0, 256, shape, dtype=np.uint8)
    else:
      drawn = generator.normal(seen.mean(0), seen.std(0) + 1e-3, shape)
      made[name] = drawn.astype(seen.dtype)
  return made
