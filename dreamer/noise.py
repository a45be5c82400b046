"""The randomness of one update, drawn before it: all else is deterministic.

So that tests can put recorded draws in its place. Axes: B batch, T time,
H imagined steps, S categoricals of C classes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import config_dict

from dreamer import spaces as spaces_lib

Tree = dict[str, Any]


class Draws(NamedTuple):
  """The randomness of one update.

  posterior: Gumbel [B, T, S, C]; prior: Gumbel [B T, H, S, C]; action: {key:
  [B T, H + 1, ...]}, Gumbel or normal.
  """

  posterior: Any
  prior: Any
  action: Any


def draw(
  config: config_dict.ConfigDict,
  actions: spaces_lib.Spaces,
  batch: int,
  length: int,
  key: jax.Array,
) -> Draws:
  """Returns the random numbers of an update on a batch of sequences."""
  posterior_key, prior_key, action_key = jax.random.split(key, 3)
  latent = (config.rssm.stoch, config.rssm.classes)
  starts, steps = batch * length, config.imag_length
  return Draws(
    jax.random.gumbel(posterior_key, (batch, length, *latent)),
    jax.random.gumbel(prior_key, (starts, steps, *latent)),
    draw_actions(actions, (starts, steps + 1), action_key),
  )


def draw_actions(
  actions: spaces_lib.Spaces, leading: tuple[int, ...], key: jax.Array
) -> Tree:
  """Returns noise from which `sample_actions` makes actions."""
  noise = {}
  keys = jax.random.split(key, len(actions))
  for one, (name, space) in zip(keys, sorted(actions.items()), strict=True):
    if space.classes:
      shape = (*leading, *space.shape, space.classes)
      noise[name] = jax.random.gumbel(one, shape)
    else:
      noise[name] = jax.random.normal(one, (*leading, *space.shape))
  return noise


def sample_actions(policy: Tree, noise: Tree) -> Tree:
  """Returns actions drawn from distributions by noise."""
  return {name: policy[name].sample(noise[name]) for name in policy}


def forced(one_hot: Float[Array, "*s C"]) -> Float[Array, "*s C"]:
  """Returns Gumbel noise that draws exactly these classes."""
  return jnp.float32(1e9) * one_hot
