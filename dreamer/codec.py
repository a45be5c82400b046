"""Encoder and decoder for any mix of images and vectors.

Source: dreamerv3/rssm.py of danijar/dreamerv3 (classes Encoder and Decoder,
type "simple"). Axes: s batch axes, E tokens.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import config_dict

from dreamer import distributions, nets, rssm
from dreamer import spaces as spaces_lib

Predicted = distributions.Categorical | distributions.SquaredError


def images_of(spaces: spaces_lib.Spaces) -> dict[str, spaces_lib.Space]:
  """Returns the image keys, sorted."""
  return {k: spaces[k] for k in sorted(spaces) if spaces[k].is_image}


def vectors_of(spaces: spaces_lib.Spaces) -> dict[str, spaces_lib.Space]:
  """Returns the other keys, sorted."""
  return {k: spaces[k] for k in sorted(spaces) if not spaces[k].is_image}


class Prepared(NamedTuple):
  """What the encoder's layers take; None where there is no such key.

  vector: float32 [*s, D]; images: float32 [*s, H, W, C], -0.5 to 0.5.
  """

  vector: Any
  images: Any


def prepare(obs: Mapping[str, Array], spaces: spaces_lib.Spaces) -> Prepared:
  """Returns raw observations [*s, ...] as the encoder's layers take them."""
  vectors, images = vectors_of(spaces), images_of(spaces)
  vector = spaces_lib.symlog_vector(obs, vectors) if vectors else None
  if not images:
    return Prepared(vector, None)
  x = jnp.concatenate([obs[name] for name in images], axis=-1)
  return Prepared(vector, x.astype(jnp.float32) / 255 - 0.5)


class Encoder(nnx.Module):
  """Observations to one vector of tokens: vectors first, then images."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spaces: spaces_lib.Spaces,
    rngs: nnx.Rngs,
  ) -> None:
    """`config` is `config.encoder`."""
    self._vectors = nnx.static(vectors_of(spaces))
    self._images = nnx.static(images_of(spaces))
    self._layers = config.layers
    self._widths = tuple(config.depth * mult for mult in config.mults)
    self.token_size = 0
    if self._vectors:
      size = spaces_lib.vector_size(self._vectors)
      for i in range(config.layers):
        layer = nets.Linear(
          size if i == 0 else config.units, config.units, rngs
        )
        setattr(self, f"mlp{i}", layer)
        setattr(self, f"mlp{i}norm", nets.RMSNorm(config.units))
      self.token_size += config.units
    if self._images:
      channels = sum(space.shape[-1] for space in self._images.values())
      for i, width in enumerate(self._widths):
        conv = nets.Conv(channels, width, config.kernel, rngs)
        setattr(self, f"cnn{i}", conv)
        setattr(self, f"cnn{i}norm", nets.RMSNorm(width))
        channels = width
      height, width = next(iter(self._images.values())).shape[:2]
      shrink = 2 ** len(self._widths)
      self.token_size += height // shrink * (width // shrink) * channels

  def __call__(self, obs: Mapping[str, Array]) -> Float[Array, "*s E"]:
    """Returns tokens of raw observations [*s, ...], of the keys it knows."""
    return self.encode(prepare(obs, {**self._vectors, **self._images}))

  def encode(self, prepared: Prepared) -> Float[Array, "*s E"]:
    """Returns tokens of what `prepare` made of observations."""
    tokens = []
    if self._vectors:
      x = prepared.vector
      for i in range(self._layers):
        x = getattr(self, f"mlp{i}norm").silu(getattr(self, f"mlp{i}")(x))
      tokens.append(x)
    if self._images:
      tokens.append(self._encode_images(prepared.images))
    return jnp.concatenate(tokens, axis=-1)

  def _encode_images(self, x: Float[Array, "*s H W C"]) -> Float[Array, "*s E"]:
    leading = x.shape[:-3]
    x = x.reshape((-1, *x.shape[-3:]))
    for i in range(len(self._widths)):
      x = getattr(self, f"cnn{i}").pooled(x)
      x = getattr(self, f"cnn{i}norm").silu(x)
    return x.reshape((*leading, -1))


class VectorHead(nnx.Module):
  """The last layer for one key: `pred` where continuous, `logits` if not."""

  def __init__(
    self, inputs: int, space: spaces_lib.Space, rngs: nnx.Rngs, scale: float
  ) -> None:
    self._space = nnx.static(space)
    if space.classes:
      shape = (*space.shape, space.classes)
      self.logits = nets.Linear(inputs, shape, rngs, scale)
    else:
      size = max(1, math.prod(space.shape))
      self.pred = nets.Linear(inputs, size, rngs, scale)

  def __call__(self, x: Float[Array, "*s U"]) -> Predicted:
    """Returns the distribution that an MLP's output stands for."""
    shape = self._space.shape
    if self._space.classes:
      return distributions.Categorical(self.logits(x), len(shape))
    mean = self.pred(x).reshape((*x.shape[:-1], *shape))
    return distributions.SquaredError(mean, len(shape), squash=True)


class Decoder(nnx.Module):
  """Latents to a distribution of each observation key."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spaces: spaces_lib.Spaces,
    deter: int,
    stoch: int,
    rngs: nnx.Rngs,
  ) -> None:
    """`config` is `config.decoder`; `stoch` is the flat size."""
    self._vectors = nnx.static(vectors_of(spaces))
    self._images = nnx.static(images_of(spaces))
    self._groups = config.bspace
    if self._vectors:
      self.mlp = nets.MLP(deter + stoch, config.units, config.layers, rngs)
      self.vec = _Heads(config, self._vectors, rngs)
    if self._images:
      self._add_image_layers(config, deter, stoch, rngs)

  def __call__(self, latent: rssm.Latent) -> dict[str, Predicted]:
    """Returns a distribution of each key for latents [*s, ...].

    Those of images are of values from 0 to 1.
    """
    stoch = latent.stoch.reshape((*latent.stoch.shape[:-2], -1))
    predicted: dict[str, Predicted] = {}
    if self._vectors:
      # The one place where stoch comes first.
      x = self.mlp(jnp.concatenate([stoch, latent.deter], axis=-1))
      predicted |= self.vec(x)
    if self._images:
      predicted |= self._decode_images(latent.deter, stoch)
    return predicted

  def _add_image_layers(
    self,
    config: config_dict.ConfigDict,
    deter: int,
    stoch: int,
    rngs: nnx.Rngs,
  ) -> None:
    widths = [config.depth * mult for mult in config.mults]
    height, width = next(iter(self._images.values())).shape[:2]
    shrink = 2 ** len(widths)
    self._start = (height // shrink, width // shrink, widths[-1])
    size = math.prod(self._start)
    self._ups = len(widths) - 1
    self.sp0 = nets.BlockLinear(deter, size, config.bspace, rngs)
    self.sp1 = nets.Linear(stoch, 2 * config.units, rngs)
    self.sp1norm = nets.RMSNorm(2 * config.units)
    self.sp2 = nets.Linear(2 * config.units, size, rngs)
    self.spnorm = nets.RMSNorm(widths[-1])
    channels = widths[-1]
    for i in reversed(range(self._ups)):
      layer = nets.Conv(channels, widths[i], config.kernel, rngs)
      setattr(self, f"conv{i}", layer)
      setattr(self, f"conv{i}norm", nets.RMSNorm(widths[i]))
      channels = widths[i]
    colours = sum(space.shape[-1] for space in self._images.values())
    self.imgout = nets.Conv(
      channels, colours, config.kernel, rngs, config.outscale
    )

  def _decode_images(
    self, deter: Float[Array, "*s D"], stoch: Float[Array, "*s C"]
  ) -> dict[str, distributions.SquaredError]:
    leading, (h, w, c) = deter.shape[:-1], self._start
    grouped = self.sp0(deter).reshape(
      (-1, self._groups, h, w, c // self._groups)
    )
    grouped = jnp.moveaxis(grouped, 1, 3).reshape((-1, h, w, c))
    x = self.sp2(self.sp1norm.silu(self.sp1(stoch)))
    x = grouped + x.reshape((-1, h, w, c))
    x = self.spnorm.silu(x)
    for i in reversed(range(self._ups)):
      x = getattr(self, f"conv{i}").upsampled(x)
      x = getattr(self, f"conv{i}norm").silu(x)
    x = jax.nn.sigmoid(self.imgout.upsampled(x))
    x = x.reshape((*leading, *x.shape[1:]))
    ends = [space.shape[-1] for space in self._images.values()]
    cuts = [sum(ends[: i + 1]) for i in range(len(ends) - 1)]
    parts = jnp.split(x, cuts, axis=-1)
    return {
      name: distributions.SquaredError(part, 3)
      for name, part in zip(self._images, parts, strict=True)
    }


class _Heads(nnx.Module):
  """One `VectorHead` a key, by its name."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spaces: spaces_lib.Spaces,
    rngs: nnx.Rngs,
  ) -> None:
    self._names = tuple(spaces)
    for name, space in spaces.items():
      head = VectorHead(config.units, space, rngs, config.outscale)
      setattr(self, nets.attribute(name), head)

  def __call__(self, x: Float[Array, "*s U"]) -> dict[str, Predicted]:
    return {n: getattr(self, nets.attribute(n))(x) for n in self._names}
