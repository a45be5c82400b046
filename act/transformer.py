"""The transformer blocks of ACT (Zhao et al. 2023; LeRobot `modeling_act.py`).

Axes: B samples, T queries, S keys, D width; small letters are the same or 1.
Samples come first, unlike the original, and an axis of 1 broadcasts: queries of
the decoder start equal, so that little of their first self-attention needs
computing for every sample and every query.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from act import dropout as dropout_lib
from act import noise as noise_lib

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  "relu": jax.nn.relu,
  "gelu": functools.partial(jax.nn.gelu, approximate=False),
}


NORM_EPSILON = 1e-5


class Linear(nnx.Module):
  """A linear layer with torch's initial values."""

  def __init__(
    self,
    inputs: int,
    outputs: int,
    noise: noise_lib.Noise,
    *,
    xavier: bool = False,
    zero_bias: bool = False,
  ):
    """U(-b, b) with b = inputs^-1/2, or a kernel of Xavier's b."""
    bound = 1.0 / math.sqrt(inputs)
    kernel_bound = xavier_bound(inputs, outputs) if xavier else bound
    self.kernel = nnx.Param(noise.uniform((inputs, outputs), kernel_bound))
    self.bias = nnx.Param(
      noise.uniform((outputs,), 0.0 if zero_bias else bound)
    )

  def __call__(self, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
    """Returns x kernel + bias."""
    y = x @ self.kernel[...]
    return y + self.bias[...].reshape((1,) * (y.ndim - 1) + (-1,))


def xavier_bound(inputs: int, outputs: int) -> float:
  """Returns the bound of Xavier's uniform distribution."""
  return math.sqrt(6.0 / (inputs + outputs))


class LayerNorm(nnx.Module):
  """Layer norm of torch: epsilon 1e-5, where Flax has 1e-6."""

  def __init__(self, width: int):
    """Starts without scale and bias."""
    self.scale = nnx.Param(jnp.ones(width))
    self.bias = nnx.Param(jnp.zeros(width))

  def __call__(self, x: Float[Array, "b t D"]) -> Float[Array, "b t D"]:
    """Brings every token to mean 0 and variance 1, in float32, then scales."""
    wide = x.astype(jnp.float32)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    normed = centred * jax.lax.rsqrt(variance + NORM_EPSILON)
    scale, bias = self.scale[...], self.bias[...]
    return normed.astype(x.dtype) * scale[None, None] + bias[None, None]


class Attention(nnx.Module):
  """Multi-head attention with torch's initial values."""

  def __init__(
    self, width: int, heads: int, noise: noise_lib.Noise, *, xavier: bool
  ):
    """`xavier` is for the main encoder and decoder: output matrix as well."""
    self.heads = heads
    # query, key and value side by side: the Xavier bound counts all three
    bound = xavier_bound(width, 3 * width)
    self.input_kernel = nnx.Param(noise.uniform((width, 3 * width), bound))
    self.input_bias = nnx.Param(jnp.zeros(3 * width))
    self.output = Linear(width, width, noise, xavier=xavier, zero_bias=True)

  def __call__(
    self,
    query: Float[Array, "b T D"],
    key: Float[Array, "c S D"],
    value: Float[Array, "c s D"],
    *,
    is_pad: Bool[Array, "B S"] | None = None,
    dropout: dropout_lib.Dropout | None = None,
    batch: int | None = None,
  ) -> Float[Array, "B T D"]:
    """Attends; keys with `is_pad` True are ignored (torch's convention).

    Dropout acts on the probabilities, of `batch` samples where those are one. A
    `value` of one token stands for equal values of all keys.
    """
    if query is key:
      q, k = jnp.split(self._project(query, 0, 2), 2, axis=-1)
    else:
      q, k = self._project(query, 0, 1), self._project(key, 1, 2)
    q, k, v = map(self._split_heads, (q, k, self._project(value, 2, 3)))
    scale = jnp.asarray(q.shape[-1] ** -0.5, q.dtype)
    logits = jnp.einsum("bthd,bshd->bhts", q * scale, k).astype(jnp.float32)
    if is_pad is not None:
      logits = jnp.where(is_pad[:, None, None], -jnp.inf, logits)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    weights = dropout_lib.maybe(dropout, weights, batch)
    mixed = jnp.einsum("bhts,bshd->bthd", weights, v)
    return self.output(mixed.reshape(*mixed.shape[:2], -1))

  def _project(self, x: jax.Array, first: int, last: int) -> jax.Array:
    width = x.shape[-1]
    columns = slice(first * width, last * width)
    bias = self.input_bias[...][None, None, columns]
    return x @ self.input_kernel[...][:, columns] + bias

  def _split_heads(self, x: jax.Array) -> jax.Array:
    return x.reshape(*x.shape[:2], self.heads, -1)


class FeedForward(nnx.Module):
  """Linear, activation, dropout, linear."""

  def __init__(
    self,
    width: int,
    hidden: int,
    activation: str,
    noise: noise_lib.Noise,
    *,
    xavier: bool,
  ):
    """`activation` is a key of `ACTIVATIONS`."""
    self.activation = activation
    self.expand = Linear(width, hidden, noise, xavier=xavier)
    self.contract = Linear(hidden, width, noise, xavier=xavier)

  def __call__(
    self,
    x: Float[Array, "B T D"],
    dropout: dropout_lib.Dropout | None = None,
  ) -> Float[Array, "B T D"]:
    """Applies the block to every token by itself."""
    hidden = ACTIVATIONS[self.activation](self.expand(x))
    return self.contract(dropout_lib.maybe(dropout, hidden))


def _residual(
  x: jax.Array,
  block: Callable[[jax.Array], jax.Array],
  norm: LayerNorm,
  pre_norm: bool,
  dropout: dropout_lib.Dropout | None,
  batch: int | None = None,
) -> jax.Array:
  """Returns x + block(norm(x)) if `pre_norm`, else norm(x + block(x))."""
  if pre_norm:
    return x + dropout_lib.maybe(dropout, block(norm(x)), batch)
  return norm(x + dropout_lib.maybe(dropout, block(x), batch))


class EncoderLayer(nnx.Module):
  """Self-attention and feed-forward, each with a residual and a norm."""

  def __init__(
    self,
    width: int,
    heads: int,
    feedforward: int,
    activation: str,
    pre_norm: bool,
    noise: noise_lib.Noise,
    *,
    xavier: bool,
  ):
    """`pre_norm` norms what enters a block, not the sum after it."""
    self.pre_norm = pre_norm
    self.self_attention = Attention(width, heads, noise, xavier=xavier)
    self.feedforward = FeedForward(
      width, feedforward, activation, noise, xavier=xavier
    )
    self.norm1 = LayerNorm(width)
    self.norm2 = LayerNorm(width)

  def __call__(
    self,
    x: Float[Array, "B T D"],
    position: Float[Array, "1 T D"],
    is_pad: Bool[Array, "B T"] | None = None,
    dropout: dropout_lib.Dropout | None = None,
  ) -> Float[Array, "B T D"]:
    """Returns the next tokens; positions act on queries and keys alone."""

    def attend(x: jax.Array) -> jax.Array:
      placed = x + position
      return self.self_attention(
        placed, placed, x, is_pad=is_pad, dropout=dropout
      )

    def feed(x: jax.Array) -> jax.Array:
      return self.feedforward(x, dropout)

    x = _residual(x, attend, self.norm1, self.pre_norm, dropout)
    return _residual(x, feed, self.norm2, self.pre_norm, dropout)


class DecoderLayer(nnx.Module):
  """Self-attention, cross-attention and feed-forward; no causal mask."""

  def __init__(
    self,
    width: int,
    heads: int,
    feedforward: int,
    activation: str,
    pre_norm: bool,
    noise: noise_lib.Noise,
  ):
    """As `EncoderLayer`, with Xavier matrices."""
    self.pre_norm = pre_norm
    self.self_attention = Attention(width, heads, noise, xavier=True)
    self.cross_attention = Attention(width, heads, noise, xavier=True)
    self.feedforward = FeedForward(
      width, feedforward, activation, noise, xavier=True
    )
    self.norm1 = LayerNorm(width)
    self.norm2 = LayerNorm(width)
    self.norm3 = LayerNorm(width)

  def __call__(
    self,
    x: Float[Array, "b t D"],
    position: Float[Array, "1 T D"],
    memory: Float[Array, "B S D"],
    memory_position: Float[Array, "1 S D"],
    dropout: dropout_lib.Dropout | None = None,
  ) -> Float[Array, "B T D"]:
    """Returns the next queries of every sample of `memory`."""
    batch = memory.shape[0]

    def attend(x: jax.Array) -> jax.Array:
      placed = x + position
      return self.self_attention(
        placed, placed, x, dropout=dropout, batch=batch
      )

    def look(x: jax.Array) -> jax.Array:
      return self.cross_attention(
        x + position, memory + memory_position, memory, dropout=dropout
      )

    def feed(x: jax.Array) -> jax.Array:
      return self.feedforward(x, dropout)

    x = _residual(x, attend, self.norm1, self.pre_norm, dropout, batch)
    x = _residual(x, look, self.norm2, self.pre_norm, dropout)
    return _residual(x, feed, self.norm3, self.pre_norm, dropout)


class Encoder(nnx.Module):
  """Layers `layer0`, `layer1`, ...; a final norm only with `pre_norm`."""

  def __init__(
    self,
    layers: int,
    width: int,
    heads: int,
    feedforward: int,
    activation: str,
    pre_norm: bool,
    noise: noise_lib.Noise,
    *,
    xavier: bool,
  ):
    """Sizes are those of every layer."""
    self.layers = layers
    for i in range(layers):
      layer = EncoderLayer(
        width,
        heads,
        feedforward,
        activation,
        pre_norm,
        noise,
        xavier=xavier,
      )
      setattr(self, f"layer{i}", layer)
    if pre_norm:
      self.norm = LayerNorm(width)

  def __call__(
    self,
    x: Float[Array, "B T D"],
    position: Float[Array, "1 T D"],
    is_pad: Bool[Array, "B T"] | None = None,
    dropout: dropout_lib.Dropout | None = None,
  ) -> Float[Array, "B T D"]:
    """Returns the encoded tokens."""
    for i in range(self.layers):
      x = getattr(self, f"layer{i}")(x, position, is_pad, dropout)
    return self.norm(x) if hasattr(self, "norm") else x


class Decoder(nnx.Module):
  """Layers `layer0`, `layer1`, ... and a final norm, always."""

  def __init__(
    self,
    layers: int,
    width: int,
    heads: int,
    feedforward: int,
    activation: str,
    pre_norm: bool,
    noise: noise_lib.Noise,
  ):
    """Sizes are those of every layer."""
    self.layers = layers
    for i in range(layers):
      layer = DecoderLayer(
        width, heads, feedforward, activation, pre_norm, noise
      )
      setattr(self, f"layer{i}", layer)
    self.norm = LayerNorm(width)

  def __call__(
    self,
    position: Float[Array, "1 T D"],
    memory: Float[Array, "B S D"],
    memory_position: Float[Array, "1 S D"],
    dropout: dropout_lib.Dropout | None = None,
  ) -> Float[Array, "B T D"]:
    """Returns one vector a query position; queries start as zeros."""
    x = jnp.zeros_like(position[:, :1])  # one for all: they differ by position
    for i in range(self.layers):
      layer = getattr(self, f"layer{i}")
      x = layer(x, position, memory, memory_position, dropout)
    return self.norm(x)
