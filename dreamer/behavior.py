"""Actor and critic: losses on imagined and on replayed states.

Source: `imag_loss` and `repl_loss` of dreamerv3/agent.py. Axes: N imagined
trajectories, H1 = H + 1 states each; B batch, T time. Imagined arrays are time
first, replayed ones batch first.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import config_dict

from dreamer import distributions, heads, ops


@flax.struct.dataclass
class ReturnRange:
  """Running percentiles of returns: [] each."""

  low: Any
  high: Any

  @classmethod
  def initial(cls) -> "ReturnRange":
    """Returns percentiles before any return: zeros."""
    return cls(jnp.float32(0), jnp.float32(0))

  def updated(
    self, returns: Float[Array, "..."], config: config_dict.ConfigDict
  ) -> "ReturnRange":
    """Returns percentiles moved towards those of `returns`."""
    rate = jnp.float32(config.rate)
    levels = jnp.array([config.low, config.high], jnp.float32)
    low, high = jnp.percentile(jax.lax.stop_gradient(returns), levels)
    return ReturnRange(
      (1 - rate) * self.low + rate * low, (1 - rate) * self.high + rate * high
    )

  def scale(self, limit: float) -> Float[Array, ""]:
    """Returns max(limit, high - low), equation 11 of arXiv:2301.04104."""
    return jnp.maximum(jnp.float32(limit), self.high - self.low)


@flax.struct.dataclass
class Imagined:
  """What the losses saw: returns [H, N], weights [H + 1, N]."""

  returns: Any
  range: ReturnRange
  weights: Any


def imagination_losses(
  config: config_dict.ConfigDict,
  action: Mapping[str, Array],
  reward: Float[Array, "H1 N"],
  keep_on: Float[Array, "H1 N"],
  policy: Mapping[str, heads.Action],
  value: distributions.TwoHot,
  slow_value: distributions.TwoHot,
  percentiles: ReturnRange,
) -> tuple[dict[str, Float[Array, "H N"]], Imagined, dict[str, Array]]:
  """Returns the actor and critic losses, what they used, and metrics.

  Args:
    config: the whole configuration.
    action: what was done at each state; the last is not used.
    reward: predictions at each state.
    keep_on: probabilities that the episode goes on.
    policy: distributions of actions at each state.
    value: the critic's at each state.
    slow_value: the slow critic's.
    percentiles: of returns so far.
  """
  options, stop = config.behavior, jax.lax.stop_gradient
  discount = 1.0 if config.contdisc else 1 - 1 / config.horizon
  weights = jnp.cumprod(jnp.float32(discount) * keep_on, 0)
  weights = weights / jnp.float32(discount)
  mean, slow_mean = value.mean(), slow_value.mean()
  target = slow_mean if options.slowtar else mean
  unended = jnp.zeros_like(keep_on).T
  returns = ops.lambda_return(
    unended, 1 - keep_on.T, reward.T, target.T, discount, options.lam
  ).T
  percentiles = percentiles.updated(returns, config.return_norm)
  scale = percentiles.scale(config.return_norm.limit)
  advantage = (returns - target[:-1]) / scale
  log_prob = sum(
    policy[name].log_prob(stop(action[name]))[:-1] for name in policy
  )
  entropies = {name: policy[name].entropy()[:-1] for name in policy}
  entropy = sum(entropies.values())
  reinforce = log_prob * stop(advantage)
  bonus = jnp.float32(options.actent) * entropy
  # a loss of the last too, for nothing: no slices of the logits to copy
  ended = jnp.pad(returns, ((0, 1), (0, 0)))
  losses = {
    "policy": stop(weights[:-1]) * -(reinforce + bonus),
    "value": stop(weights[:-1])
    * _critic_loss(options, value, ended, slow_mean)[:-1],
  }
  normed = (returns - percentiles.low) / scale
  metrics = {
    "adv": jnp.mean(advantage),
    "adv_std": jnp.std(advantage),
    "adv_mag": jnp.mean(jnp.abs(advantage)),
    "rew": jnp.mean(reward),
    "con": jnp.mean(keep_on),
    "ret": jnp.mean(normed),
    "val": jnp.mean(mean),
    "tar": jnp.mean(returns),
    "weight": jnp.mean(weights),
    "slowval": jnp.mean(slow_mean),
    "ret_min": jnp.min(normed),
    "ret_max": jnp.max(normed),
    "ret_rate": jnp.mean(jnp.float32(jnp.abs(normed) >= 1)),
  }
  for name, values in entropies.items():
    metrics[f"ent/{name}"] = jnp.mean(values)
    one = policy[name]
    if isinstance(one, distributions.Categorical) and not one.ndim:
      highest = jnp.float32(one.max_entropy)
      metrics[f"rand/{name}"] = jnp.mean(values) / highest
  return losses, Imagined(returns, percentiles, weights), metrics


def replay_loss(
  config: config_dict.ConfigDict,
  last: Float[Array, "B T"],
  terminal: Float[Array, "B T"],
  reward: Float[Array, "B T"],
  bootstrap: Float[Array, "B T"],
  value: distributions.TwoHot,
  slow_value: distributions.TwoHot,
) -> Float[Array, "B T-1"]:
  """Returns the critic's loss on replayed steps with their real rewards.

  `bootstrap` is the imagined return of each state.
  """
  options = config.behavior
  returns = ops.lambda_return(
    last, terminal, reward, bootstrap, 1 - 1 / config.horizon, options.lam
  )
  returns = jnp.pad(returns, ((0, 0), (0, 1)))
  loss = _critic_loss(options, value, returns, slow_value.mean())
  return ((1 - last) * loss)[:, :-1]


def _critic_loss(
  options: config_dict.ConfigDict,
  value: distributions.TwoHot,
  returns: Float[Array, "*s"],
  slow_mean: Float[Array, "*s"],
) -> Float[Array, "*s"]:
  """Returns the cross-entropy of returns, and of the slow critic's mean."""
  regularizer = value.loss(slow_mean)
  return value.loss(returns) + jnp.float32(options.slowreg) * regularizer
