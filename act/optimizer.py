"""AdamW in two groups, clipping and the learning-rate schedule, as LeRobot."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int
from ml_collections import config_dict

from carnet import errors

SCHEDULES = ("constant", "cosine")


def check(config: config_dict.ConfigDict) -> None:
  """Raises UserError for a schedule that does not exist."""
  if config.optimizer.schedule not in SCHEDULES:
    raise errors.unknown(
      "optimizer.schedule", config.optimizer.schedule, SCHEDULES
    )


def init(config: config_dict.ConfigDict, params: dict[str, Any]) -> Any:
  """Returns the state of the optimizer for `params`: moments and a count."""
  check(config)
  return _adam(config).init(params)


def update(
  config: config_dict.ConfigDict,
  step: Int[Array, ""],
  gradients: dict[str, Any],
  state: Any,
  params: dict[str, Any],
) -> tuple[dict[str, Any], Any, dict[str, Float[Array, ""]]]:
  """Returns new parameters, new state, and metrics.

  Metrics: gradient_norm (of all parameters, before clipping), learning_rate (of
  all but the backbone).
  """
  norm = optax.tree.norm(gradients)
  gradients = _clip(gradients, norm, config.optimizer.clip_norm)
  # Decoupled: torch's p (1 - lr decay) - lr adam is p - lr (adam + decay p).
  with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and counts
    updates, state = _adam(config).update(gradients, state, params)
  factor = schedule(config, step)
  rate = factor * config.optimizer.learning_rate
  backbone_rate = factor * config.optimizer.backbone_learning_rate
  params = {
    name: _descend(
      params[name], updates[name], backbone_rate if name == "backbone" else rate
    )
    for name in params
  }
  return params, state, {"gradient_norm": norm, "learning_rate": rate}


def _descend(params: Any, updates: Any, rate: Float[Array, ""]) -> Any:
  return jax.tree.map(lambda p, u: p - rate * u, params, updates)


def schedule(
  config: config_dict.ConfigDict, step: Int[Array, ""]
) -> Float[Array, ""]:
  """Returns the factor on the learning rates at `step`, counted from 0.

  (step + 1) / warmup_steps up to 1; then 1, or half a cosine that would reach
  final_fraction at total_steps.
  """
  options = config.optimizer
  now = step.astype(jnp.float32)
  warmup = (now + 1.0) / max(options.warmup_steps, 1)
  if options.schedule == "constant":
    return jnp.minimum(warmup, 1.0)
  length = max(config.total_steps - options.warmup_steps, 1)
  progress = jnp.clip((now - options.warmup_steps) / length, 0.0, 1.0)
  cosine = 0.5 * (1.0 + jnp.cos(math.pi * progress))
  fraction = options.final_fraction + (1.0 - options.final_fraction) * cosine
  return jnp.minimum(warmup, 1.0) * fraction


def _adam(config: config_dict.ConfigDict) -> optax.GradientTransformation:
  options = config.optimizer
  return optax.chain(
    optax.scale_by_adam(options.beta1, options.beta2, options.epsilon),
    optax.add_decayed_weights(options.weight_decay),
  )


def _clip(
  gradients: dict[str, Any], norm: Float[Array, ""], limit: float
) -> dict[str, Any]:
  """Scales down to the global norm `limit`; torch adds 1e-6 to the norm."""
  factor = jnp.minimum(limit / (norm + 1e-6), 1.0)
  return jax.tree.map(lambda g: g * factor, gradients)
