"""Temporal ensembling (Zhao et al. 2023, section 4; LeRobot's online form).

A query at every step predicts the coming K actions, so that up to K predictions
exist of each. They are averaged with weights w_i = exp(-m i), i = 0 the oldest:
a positive m trusts the old ones more.

Axes: N episodes, K chunk, A action.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Ensemble(NamedTuple):
  """The running average of each coming action, and how many went into it."""

  average: Float[Array, "N K A"]
  predictions: Int[Array, "N K"]


def init(episodes: int, chunk_size: int, action_size: int) -> Ensemble:
  """Returns the state before the first query; rows are episodes."""
  return Ensemble(
    jnp.zeros((episodes, chunk_size, action_size)),
    jnp.zeros((episodes, chunk_size), jnp.int32),
  )


@jax.jit
def update(
  ensemble: Ensemble,
  chunk: Float[Array | np.ndarray, "N K A"],
  coefficient: float | Float[Array, ""],
) -> tuple[Ensemble, Float[Array, "N A"]]:
  """Takes in the prediction of this step; returns the action to execute now.

  `coefficient` is m above. The average of c predictions with weights w_0 ...
  w_{c-1} becomes (average W_c + new w_c) / W_{c+1}, W_c = w_0 + ... + w_{c-1}.
  """
  chunk_size = chunk.shape[1]
  order = jnp.arange(chunk_size, dtype=jnp.float32)
  weights = jnp.exp(-jnp.asarray(coefficient, jnp.float32) * order)
  sums = jnp.concatenate([jnp.zeros(1), jnp.cumsum(weights)])
  before, count = ensemble.average, ensemble.predictions
  old, new, total = sums[count], weights[count], sums[count + 1]
  weighted = before * old[..., None] + chunk * new[..., None]
  average = weighted / total[..., None]
  shifted = Ensemble(
    jnp.concatenate([average[:, 1:], jnp.zeros_like(average[:, :1])], axis=1),
    jnp.concatenate([count[:, 1:] + 1, jnp.zeros_like(count[:, :1])], axis=1),
  )
  return shifted, average[:, 0]
