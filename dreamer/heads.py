"""Heads on features: reward and critic, continuation, actor.

Source: embodied/jax/heads.py of danijar/dreamerv3. Axes: s batch axes,
F features.
"""

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import config_dict

from dreamer import distributions, nets
from dreamer import spaces as spaces_lib

Action = distributions.Categorical | distributions.BoundedNormal


class TwoHotHead(nnx.Module):
  """A scalar: the reward, or the value."""

  def __init__(
    self, inputs: int, config: config_dict.ConfigDict, rngs: nnx.Rngs
  ) -> None:
    self._bins = config.bins
    self.mlp = nets.MLP(inputs, config.units, config.layers, rngs)
    self.head = _Logits(config.units, config.bins, rngs, config.outscale)

  def __call__(self, x: Float[Array, "*s F"]) -> distributions.TwoHot:
    """Returns the distribution of the scalar."""
    logits = self.head(self.mlp(x)).astype(jnp.float32)
    return distributions.TwoHot(logits, distributions.two_hot_bins(self._bins))


class BinaryHead(nnx.Module):
  """Whether the episode goes on."""

  def __init__(
    self, inputs: int, config: config_dict.ConfigDict, rngs: nnx.Rngs
  ) -> None:
    self.mlp = nets.MLP(inputs, config.units, config.layers, rngs)
    self.head = _Logit(config.units, rngs, config.outscale)

  def __call__(self, x: Float[Array, "*s F"]) -> distributions.Bernoulli:
    """Returns the distribution of the bit."""
    logit = self.head(self.mlp(x)).astype(jnp.float32)
    return distributions.Bernoulli(logit)


class Actor(nnx.Module):
  """A distribution of each action key."""

  def __init__(
    self,
    inputs: int,
    config: config_dict.ConfigDict,
    actions: spaces_lib.Spaces,
    rngs: nnx.Rngs,
  ) -> None:
    self._unimix = config.unimix if config.apply_unimix else 0.0
    self._bounds = (config.minstd, config.maxstd)
    self._actions = nnx.static(dict(actions))
    self.mlp = nets.MLP(inputs, config.units, config.layers, rngs)
    self.head = _ActionHeads(config, actions, rngs)

  def __call__(
    self, x: Float[Array, "*s F"], first: Float[Array, "*s U"] | None = None
  ) -> dict[str, Action]:
    """Returns a distribution of each action key.

    `first` is that of `nets.MLP`.
    """
    outputs = self.head(self.mlp(x, first))
    return {
      name: self._distribution(name, out) for name, out in outputs.items()
    }

  def _distribution(self, name: str, output: dict[str, Array]) -> Action:
    space = self._actions[name]
    ndim = len(space.shape)
    if space.classes:
      logits = output["logits"]
      if self._unimix:
        logits = distributions.mix_uniform(logits, self._unimix)
      return distributions.Categorical(logits, ndim)
    return distributions.BoundedNormal.from_raw(
      output["mean"], output["stddev"], *self._bounds, ndim
    )


class _Logits(nnx.Module):
  def __init__(
    self, inputs: int, bins: int, rngs: nnx.Rngs, scale: float
  ) -> None:
    self.logits = nets.Linear(inputs, bins, rngs, scale)

  def __call__(self, x: Float[Array, "*s U"]) -> Float[Array, "*s N"]:
    return self.logits(x)


class _Logit(nnx.Module):
  def __init__(self, inputs: int, rngs: nnx.Rngs, scale: float) -> None:
    self.logit = nets.Linear(inputs, 1, rngs, scale)

  def __call__(self, x: Float[Array, "*s U"]) -> Float[Array, "*s"]:
    return self.logit(x)[..., 0]


class _ActionHeads(nnx.Module):
  def __init__(
    self,
    config: config_dict.ConfigDict,
    actions: spaces_lib.Spaces,
    rngs: nnx.Rngs,
  ) -> None:
    self._names = tuple(sorted(actions))
    for name in self._names:
      head = _ActionHead(config, actions[name], rngs)
      setattr(self, nets.attribute(name), head)

  def __call__(self, x: Float[Array, "*s U"]) -> dict[str, dict[str, Array]]:
    return {n: getattr(self, nets.attribute(n))(x) for n in self._names}


class _ActionHead(nnx.Module):
  def __init__(
    self,
    config: config_dict.ConfigDict,
    space: spaces_lib.Space,
    rngs: nnx.Rngs,
  ) -> None:
    self._space = nnx.static(space)
    if space.classes:
      shape = (*space.shape, space.classes)
      self.logits = nets.Linear(config.units, shape, rngs, config.outscale)
    else:
      size = max(1, math.prod(space.shape))
      self.mean = nets.Linear(config.units, size, rngs, config.outscale)
      self.stddev = nets.Linear(config.units, size, rngs, config.outscale)

  def __call__(self, x: Float[Array, "*s U"]) -> dict[str, Array]:
    if self._space.classes:
      return {"logits": self.logits(x)}
    shape = (*x.shape[:-1], *self._space.shape)
    return {
      "mean": self.mean(x).reshape(shape),
      "stddev": self.stddev(x).reshape(shape),
    }
