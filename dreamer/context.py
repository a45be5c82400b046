"""What an update sees of replayed sequences: their context cut off.

Source: `_apply_replay_context` of dreamerv3/agent.py. Axes: B batch, K context
steps, T trained steps.
"""

from collections.abc import Iterable
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


def make_batch(
  steps: int, actions: Iterable[str], found: Tree, names: Iterable[str]
) -> Tree:
  """Returns a batch of replayed sequences, each with its stored latent.

  Args:
    steps: K.
    actions: keys of the action; a replay has them as "action/<key>".
    found: arrays [B, K + T, ...] of a replay, latents included.
    names: other keys that an update reads.
  """
  stored = rssm.Latent(
    found["deter"].astype(jnp.float32), found["stoch"].astype(jnp.float32)
  )
  first = jax.tree.map(lambda x: x[:, 0], stored)
  return apply(
    steps,
    {name: found[name] for name in names},
    {name: found[f"action/{name}"] for name in actions},
    stored,
    jnp.zeros(found["deter"].shape[0], jnp.int32),
    first,
  )
