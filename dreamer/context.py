"""What an update sees of replayed sequences: their context cut off.

Source: `_apply_replay_context` of dreamerv3/agent.py. Axes: B batch, K context
steps, T trained steps.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from dreamer import rssm

Tree = dict[str, Any]


def apply(
  steps: int,
  observed: Tree,
  actions: Tree,
  stored: rssm.Latent,
  consecutive: Int[Array, " B"],
  carried: rssm.Latent,
) -> Tree:
  """Returns a batch of `learner`: T steps, `previous_action` and `start`.

  Args:
    steps: K, at least 1.
    observed: arrays [B, K + T, ...].
    actions: taken after each observation, arrays [B, K + T, ...].
    stored: latents as they were written, [B, at least K, ...].
    consecutive: 0 where a sequence does not go on from the batch before.
    carried: the latents after that batch, [B, ...].
  """
  fresh = consecutive == 0

  def choose(old: Array, now: Array) -> Array:
    rows = fresh.reshape((-1,) + (1,) * (now.ndim - 1))
    return jnp.where(rows, old[:, steps - 1].astype(now.dtype), now)

  batch = {name: x[:, steps:] for name, x in observed.items()}
  before = {name: x[:, steps - 1 : -1] for name, x in actions.items()}
  start = jax.tree.map(choose, stored, carried)
  return batch | {"previous_action": before, "start": start}
