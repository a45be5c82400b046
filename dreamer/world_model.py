"""What the world model learns from: replayed sequences.

Source: `loss` of dreamerv3/agent.py. Axes: B batch, T time.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import config_dict

from dreamer import agent as agent_lib
from dreamer import noise, rssm
from dreamer import spaces as spaces_lib

Tree = dict[str, Any]


def losses(
  config: config_dict.ConfigDict,
  observations: spaces_lib.Spaces,
  agent: agent_lib.Agent,
  batch: Tree,
  gumbel: Float[Array, "B T S C"],
) -> tuple[rssm.Latent, Tree, Tree]:
  """Returns posterior states, losses [B, T] of all they predict, metrics."""
  tokens = agent.encoder(batch)
  actions = agent.action_vector(batch["previous_action"])
  latent, logits = agent.rssm.observe(
    batch["start"], actions, tokens, batch["is_first"], gumbel
  )
  prior = agent.rssm.prior(latent.deter)
  found = agent.rssm.kl_losses(logits, prior, config.rssm.free_nats)
  metrics = {
    "dyn_ent": jnp.mean(agent.rssm.entropy(prior)),
    "rep_ent": jnp.mean(agent.rssm.entropy(logits)),
  }
  feature = latent.feature
  rewarded = feature if config.reward_grad else jax.lax.stop_gradient(feature)
  found["rew"] = agent.reward(rewarded).loss(batch["reward"])
  keep_on = 1 - batch["is_terminal"].astype(jnp.float32)
  if config.contdisc:
    keep_on = keep_on * jnp.float32(1 - 1 / config.horizon)
  found["con"] = agent.continuation(feature).loss(keep_on)
  for name, predicted in agent.decoder(latent).items():
    target = batch[name]
    if observations[name].is_image:
      target = target.astype(jnp.float32) / 255
    found[name] = predicted.loss(target)
  return latent, found, metrics


def imagine(
  config: config_dict.ConfigDict,
  agent: agent_lib.Agent,
  latent: rssm.Latent,
  draws: noise.Draws,
  sample: Any,
) -> tuple[Float[Array, "H1 N F"], Float[Array, "H1 N U"], Tree]:
  """Returns features, the product of the actor's first layer, and actions of
  H + 1 states from every posterior one.

  Time first, as they come: transposing features costs as much as a layer.
  """
  start = jax.tree.map(
    lambda x: jax.lax.stop_gradient(x.reshape((-1, *x.shape[2:]))), latent
  )

  def act(state: rssm.Latent, drawn: Tree) -> tuple[Array, Any]:
    feature = jax.lax.stop_gradient(state.feature)
    first = agent.actor.mlp.linear0.product(feature)
    policy = agent.actor(feature, first)
    action = jax.tree.map(jax.lax.stop_gradient, sample(policy, drawn))
    return agent.action_vector(action), (feature, first, action)

  return agent.rssm.imagine(start, act, draws.prior, draws.action)[1]
