"""Validation loss and simulated evaluation on a schedule during training."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from act import dataset, learner, policy
from act import evaluation as act_evaluation
from carnet import clock, evaluation

_VALIDATION_SEED = 0


class Monitor:
  """Measures the state when its time has come.

  The validation batches are the same each time: the first so many of a fixed
  shuffle of the held-out episodes.
  """

  def __init__(
    self,
    config: config_dict.ConfigDict,
    data: dataset.Dataset,
    held_out: Sequence[int],
  ) -> None:
    self._config, self._data, self._held_out = config, data, held_out
    last, options = config.total_steps, config.evaluation
    every = options.validation_every_steps if held_out else 0
    self._validate_at = clock.Every(every, last if every else -1)
    simulates = options.every_steps > 0
    self._simulate_at = clock.Every(
      options.every_steps, last if simulates else -1
    )
    self._validation_step = jax.jit(
      functools.partial(
        learner.validation_step, config, data.features, data.statistics
      )
    )

  def __call__(self, step: int, state: learner.TrainState) -> dict[str, float]:
    """Returns what is due at `step`, maybe nothing.

    validation/l1 in normalised actions; evaluation/success_rate, low and high
    of its 95 % interval, held_rate, and mean_return.
    """
    found: dict[str, float] = {}
    if self._validate_at(step):
      found |= self._validate(state)
    if self._simulate_at(step):
      found |= self._simulate(state)
    return found

  def _validate(self, state: learner.TrainState) -> dict[str, float]:
    losses = [
      self._validation_step(state, batch)["l1"]
      for batch in self._validation_batches()
    ]
    return {"validation/l1": float(np.mean([float(x) for x in losses]))}

  def _validation_batches(self) -> Iterator[dict[str, Any]]:
    config, data = self._config, self._data
    episodes = np.asarray(self._held_out)
    frames = np.concatenate(
      [data.first_frames[e] + np.arange(data.lengths[e]) for e in episodes]
    )
    order = np.random.default_rng(_VALIDATION_SEED).permutation(frames)
    size = config.batch_size
    for index in range(config.evaluation.validation_batches):
      chosen = order[index * size : (index + 1) * size]
      if len(chosen) == size or (index == 0 and len(chosen)):
        yield data.batch(chosen, config.model.chunk_size)

  def _simulate(self, state: learner.TrainState) -> dict[str, float]:
    config, data = self._config, self._data
    acting = policy.Policy(
      config, data.features, data.statistics, state.params, state.buffers
    )
    first = config.evaluation.first_seed
    seeds = range(first, first + config.evaluation.episodes)
    make_env = functools.partial(act_evaluation.make_env, config)
    limit = config.environment.max_steps
    found = evaluation.run(acting, make_env, seeds, limit).summary()
    names = ("success_rate", "low", "high", "held_rate", "mean_return")
    return {f"evaluation/{name}": found[name] for name in names}
