"""Acting with a trained ACT: chunks executed in part, or ensembled.

Legend: N episodes, K chunk, A action.
"""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import config_dict

from act import ensembling, features, learner
from carnet.envs import base

_QUERY_BATCH = 16  # bounds the memory of a query for many episodes


@dataclasses.dataclass(frozen=True)
class Carry:
  """The chunk in execution and the next of its actions, or the ensemble."""

  batch_size: int
  chunk: Float[np.ndarray, "N K A"] | None = None
  next_index: int = 0
  ensemble: ensembling.Ensemble | None = None


class Policy:
  """ACT as `carnet.rollout.Policy`: observations in, joint targets out."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spec: features.Features,
    statistics: dict[str, Any],
    params: Any,
    buffers: Any,
  ) -> None:
    self._config = config
    self._cameras = [camera for camera, _ in spec.images]
    self._variables = (params, buffers)
    self._query = jax.jit(functools.partial(_query, config, spec, statistics))

  def init(self, batch_size: int) -> Carry:
    """Returns the carry before the first query of `batch_size` episodes."""
    return Carry(batch_size)

  def needs_observation(self, carry: Carry) -> bool:
    """True when the next action comes from a new query."""
    if self._config.model.temporal_ensemble or carry.chunk is None:
      return True
    return carry.next_index >= self._config.model.n_action_steps

  def act(
    self, carry: Carry, observation: base.Observation | None, key: jax.Array
  ) -> tuple[Carry, Float[np.ndarray, "N A"]]:
    """Returns the next joint targets; the key is ignored, ACT takes the mean.

    Raises:
      ValueError: a query is due and there is no observation.
    """
    del key
    if not self.needs_observation(carry):
      assert carry.chunk is not None
      action = carry.chunk[:, carry.next_index]
      return dataclasses.replace(carry, next_index=carry.next_index + 1), action
    if observation is None:
      raise ValueError("a query is due: act needs an observation")
    chunk = self._predict(observation)
    if self._config.model.temporal_ensemble:
      return self._blend(carry, chunk)
    return dataclasses.replace(carry, chunk=chunk, next_index=1), chunk[:, 0]

  def _predict(
    self, observation: base.Observation
  ) -> Float[np.ndarray, "N K A"]:
    batch: dict[str, Any] = {
      "images": {c: observation[f"images/{c}"] for c in self._cameras},
    }
    if self._config.dataset.state:
      batch["state"] = observation[self._config.dataset.state]
    return np.asarray(self._query(*self._variables, batch))

  def _blend(
    self, carry: Carry, chunk: Float[np.ndarray, "N K A"]
  ) -> tuple[Carry, Float[np.ndarray, "N A"]]:
    # On joint targets, not on normalised actions as the original does: the
    # weights add up to one and unnormalising is affine, so both agree.
    coefficient = self._config.model.temporal_ensemble_coefficient
    before = carry.ensemble or ensembling.init(*chunk.shape)
    ensemble, action = ensembling.update(before, chunk, coefficient)
    return dataclasses.replace(carry, ensemble=ensemble), np.asarray(action)


def _query(
  config: config_dict.ConfigDict,
  spec: features.Features,
  statistics: dict[str, Any],
  params: Any,
  buffers: Any,
  observation: dict[str, Any],
) -> jax.Array:
  """Predicts chunks [N, K, A], a few episodes at a time."""

  def one(single: dict[str, Any]) -> jax.Array:
    batch = jax.tree.map(lambda x: x[None], single)
    return learner.predict(config, spec, statistics, params, buffers, batch)[0]

  return jax.lax.map(one, observation, batch_size=_QUERY_BATCH)
