"""LaProp with adaptive gradient clipping, as optax transformations.

Source: embodied/jax/opt.py of danijar/dreamerv3. LaProp (arXiv:2002.04839)
normalises a gradient before the momentum, unlike Adam.
"""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import config_dict

_DECAYED = re.compile(r".*/kernel")


def make_optimizer(
  config: config_dict.ConfigDict,
) -> optax.GradientTransformation:
  """Returns the chain of `config.optimizer`."""
  chain = [
    clip_by_agc(config.agc, config.pmin),
    scale_by_rms(config.beta2, config.eps),
    scale_by_momentum(config.beta1),
  ]
  if config.wd:
    chain.append(optax.add_decayed_weights(config.wd, _kernels))
  chain.append(optax.scale_by_learning_rate(learning_rate(config)))
  return optax.chain(*chain)


def learning_rate(config: config_dict.ConfigDict) -> optax.Schedule:
  """Returns the schedule; with a warm-up, the very first step has rate 0."""
  steps = config.anneal - config.warmup
  if config.schedule == "linear":
    after = optax.linear_schedule(config.lr, 0.1 * config.lr, steps)
  elif config.schedule == "cosine":
    # The original gives optax 0.1 lr where it wants a fraction of lr.
    after = _cosine(config.lr, steps, 0.1 * config.lr)
  else:
    after = optax.constant_schedule(config.lr)
  if not config.warmup:
    return after
  ramp = optax.linear_schedule(0.0, config.lr, config.warmup)
  return optax.join_schedules([ramp, after], [config.warmup])


def _cosine(rate: float, steps: int, end: float) -> optax.Schedule:
  """Returns half a cosine from `rate` to the fraction `end` of it."""

  def schedule(count: jax.Array) -> jax.Array:
    passed = jnp.clip(jnp.float32(count) / jnp.float32(steps), 0, 1)
    decay = 0.5 * (1 + jnp.cos(jnp.float32(jnp.pi) * passed))
    return jnp.float32(rate) * ((1 - end) * decay + end)

  return schedule


def clip_by_agc(
  clip: float, smallest: float = 1e-3
) -> optax.GradientTransformation:
  """Clips each tensor's norm to `clip` times its parameter's norm.

  Args:
    clip: 0 is off.
    smallest: parameters of a smaller norm count as of this one.
  """

  def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
    def one(update: jax.Array, param: jax.Array) -> jax.Array:
      limit = jnp.float32(clip) * jnp.maximum(
        jnp.float32(smallest), jnp.linalg.norm(param.reshape(-1))
      )
      norm = jnp.linalg.norm(update.reshape(-1))
      return update / jnp.maximum(1, norm / limit)

    if clip:
      updates = jax.tree.map(one, updates, params)
    return updates, state

  return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


class RmsState(NamedTuple):
  """`updates` so far, and the mean squares of gradients."""

  updates: jax.Array
  nu: Any


def scale_by_rms(beta: float, eps: float) -> optax.GradientTransformation:
  """Divides by the root of the bias-corrected mean square."""

  def init(params: Any) -> RmsState:
    return RmsState(jnp.int32(0), jax.tree.map(jnp.zeros_like, params))

  def update(
    updates: Any, state: RmsState, params: Any = None
  ) -> tuple[Any, RmsState]:
    del params
    count = state.updates + 1
    nu = _average(beta, state.nu, jax.tree.map(jnp.square, updates))
    size = _corrected(beta, nu, count)
    scaled = jax.tree.map(
      lambda u, v: u / (jnp.sqrt(v) + jnp.float32(eps)), updates, size
    )
    return scaled, RmsState(count, nu)

  return optax.GradientTransformation(init, update)


class MomentumState(NamedTuple):
  """`updates` so far, and their mean."""

  updates: jax.Array
  mu: Any


def scale_by_momentum(beta: float) -> optax.GradientTransformation:
  """Replaces an update by the bias-corrected mean of updates."""

  def init(params: Any) -> MomentumState:
    return MomentumState(jnp.int32(0), jax.tree.map(jnp.zeros_like, params))

  def update(
    updates: Any, state: MomentumState, params: Any = None
  ) -> tuple[Any, MomentumState]:
    del params
    count = state.updates + 1
    mu = _average(beta, state.mu, updates)
    return _corrected(beta, mu, count), MomentumState(count, mu)

  return optax.GradientTransformation(init, update)


def _average(beta: float, old: Any, new: Any) -> Any:
  keep, take = jnp.float32(beta), jnp.float32(1 - beta)
  return jax.tree.map(lambda o, n: keep * o + take * n, old, new)


def _corrected(beta: float, mean: Any, count: jax.Array) -> Any:
  share = 1 - jnp.float32(beta) ** count.astype(jnp.float32)
  return jax.tree.map(lambda m: m / share, mean)


def _kernels(params: Any) -> Any:
  return jax.tree_util.tree_map_with_path(
    lambda path, _: bool(
      _DECAYED.fullmatch(
        "/" + jax.tree_util.keystr(path, simple=True, separator="/")
      )
    ),
    params,
  )
