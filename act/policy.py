"""Acting with a trained ACT: chunks executed in part, or ensembled.

Legend: N episodes, K chunk, A action.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import config_dict

from act import ensembling, features, learner, observing
from carnet import errors
from carnet.envs import base
from carnet.passport import operations, pipeline

_QUERY_BATCH = 16  # bounds the memory of a query for many episodes


@dataclasses.dataclass(frozen=True)
class Carry:
  """The chunk in execution and the next of its actions, or the ensemble."""

  batch_size: int
  chunk: Float[np.ndarray, "N K A"] | None = None
  next_index: int = 0
  ensemble: ensembling.Ensemble | None = None


# (params, buffers, raw observation [1, ...]) -> chunk [1, K, A] to execute
Predict = Callable[[Any, Any, dict[str, Any]], jax.Array]


@dataclasses.dataclass(frozen=True)
class Execution:
  """How chunks are executed: so many actions each, or averaged.

  `coefficient` is that of `ensembling`; None executes `n_action_steps`.
  """

  n_action_steps: int
  coefficient: float | None = None


class Policy:
  """ACT as `carnet.rollout.Policy`: observations in, joint targets out."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spec: features.Features,
    statistics: dict[str, Any],
    params: Any,
    buffers: Any,
    steps: pipeline.Steps | None = None,
  ) -> None:
    """`steps` is the transform pipeline, None the code that training uses.

    Raises:
      UserError: the pipeline does not lead to this network, or from it.
    """
    self._variables = (params, buffers)
    self._shapes = observing.shapes(config, spec, steps)
    if steps is None:
      self._keys = _observed(config, spec)
      self.execution = _configured(config)
      predict = _predict_as_trained(config, spec, statistics)
    else:
      check_steps(steps, spec)
      self._keys = pipeline.inputs(steps, "pre")
      self.execution = _described(steps)
      named = {"stats.json": statistics}
      loader = pipeline.statistics_from(named.get)
      predict = _predict_through(config, spec, steps, loader)
    self._query = jax.jit(functools.partial(_query, predict))

  def init(self, batch_size: int) -> Carry:
    """Returns the carry before the first query of `batch_size` episodes."""
    return Carry(batch_size)

  def needs_observation(self, carry: Carry) -> bool:
    """True when the next action comes from a new query."""
    if self.execution.coefficient is not None or carry.chunk is None:
      return True
    return carry.next_index >= self.execution.n_action_steps

  def act(
    self, carry: Carry, observation: base.Observation | None, key: jax.Array
  ) -> tuple[Carry, Float[np.ndarray, "N A"]]:
    """Returns the next joint targets; the key is ignored, ACT takes the mean.

    Raises:
      UserError: the observation is not what the policy was trained on.
      ValueError: a query is due and there is no observation.
    """
    del key
    if not self.needs_observation(carry):
      assert carry.chunk is not None
      action = carry.chunk[:, carry.next_index]
      return dataclasses.replace(carry, next_index=carry.next_index + 1), action
    if observation is None:
      raise ValueError("a query is due: act needs an observation")
    chunk = self._predict(observation, carry.batch_size)
    if self.execution.coefficient is not None:
      return self._blend(carry, chunk, self.execution.coefficient)
    return dataclasses.replace(carry, chunk=chunk, next_index=1), chunk[:, 0]

  def _predict(
    self, observation: base.Observation, batch_size: int
  ) -> Float[np.ndarray, "N K A"]:
    seen = observing.select(observation, self._keys, self._shapes, batch_size)
    return np.asarray(self._query(*self._variables, seen))

  def _blend(
    self,
    carry: Carry,
    chunk: Float[np.ndarray, "N K A"],
    coefficient: float,
  ) -> tuple[Carry, Float[np.ndarray, "N A"]]:
    # On joint targets, not on normalised actions as the original does: the
    # weights add up to one and unnormalising is affine, so both agree.
    before = carry.ensemble or ensembling.init(*chunk.shape)
    ensemble, action = ensembling.update(before, chunk, coefficient)
    return dataclasses.replace(carry, ensemble=ensemble), np.asarray(action)


def check_steps(steps: pipeline.Steps, spec: features.Features) -> None:
  """Raises UserError unless the pipeline leads to the network and from it."""
  pipeline.check(steps)
  wanted = {f"images/{camera}" for camera in spec.cameras}
  vectors = (
    ("state", spec.state_size),
    (
      "environment_state",
      spec.environment_state_size,
    ),
  )
  wanted |= {name for name, size in vectors if size}
  ways = (
    ("gives the network", pipeline.outputs(steps, "pre"), wanted),
    ("takes of the network", pipeline.inputs(steps, "post"), {"actions"}),
    ("gives as the command", pipeline.outputs(steps, "post"), {"action"}),
  )
  for what, found, expected in ways:
    if set(found) != expected:
      raise errors.UserError(
        f"transform_pipeline {what} {', '.join(found) or 'nothing'} instead "
        f"of {', '.join(sorted(expected))}"
      )


def _observed(
  config: config_dict.ConfigDict, spec: features.Features
) -> tuple[str, ...]:
  images = tuple(f"images/{camera}" for camera in spec.cameras)
  vectors = (config.dataset.state, config.dataset.environment_state)
  return (*images, *filter(None, vectors))


def _configured(config: config_dict.ConfigDict) -> Execution:
  if config.model.temporal_ensemble:
    return Execution(1, config.model.temporal_ensemble_coefficient)
  return Execution(config.model.n_action_steps)


def _described(steps: pipeline.Steps) -> Execution:
  step = pipeline.only(steps, "execute_chunk")
  if step is None or step.op != "execute_chunk":
    raise errors.UserError("transform_pipeline does not execute the chunks")
  found = step.params
  return Execution(found.n_action_steps, found.temporal_ensemble_coefficient)


def _predict_as_trained(
  config: config_dict.ConfigDict,
  spec: features.Features,
  statistics: dict[str, Any],
) -> Predict:
  def predict(params: Any, buffers: Any, seen: dict[str, Any]) -> jax.Array:
    batch = {"images": {c: seen[f"images/{c}"] for c in spec.cameras}}
    if config.dataset.state:
      batch["state"] = seen[config.dataset.state]
    if config.dataset.environment_state:
      batch["environment_state"] = seen[config.dataset.environment_state]
    return learner.predict(config, spec, statistics, params, buffers, batch)

  return predict


def _predict_through(
  config: config_dict.ConfigDict,
  spec: features.Features,
  steps: pipeline.Steps,
  statistics: operations.Statistics,
) -> Predict:
  def predict(params: Any, buffers: Any, seen: dict[str, Any]) -> jax.Array:
    fed = pipeline.run(steps, "pre", seen, statistics, jnp)
    batch = {k: x for k, x in fed.items() if not k.startswith("images/")}
    batch["images"] = {c: fed[f"images/{c}"] for c in spec.cameras}
    output = learner.apply(config, spec, params, buffers, batch, False)
    given = {"actions": output.actions}
    return pipeline.run(steps, "post", given, statistics, jnp)["action"]

  return predict


def _query(
  predict: Predict, params: Any, buffers: Any, observation: dict[str, Any]
) -> jax.Array:
  """Predicts chunks [N, K, A], a few episodes at a time."""

  def one(single: dict[str, Any]) -> jax.Array:
    batch = jax.tree.map(lambda x: x[None], single)
    return predict(params, buffers, batch)[0]

  return jax.lax.map(one, observation, batch_size=_QUERY_BATCH)
