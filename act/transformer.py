"""The transformer blocks of ACT (Zhao et al. 2023; LeRobot `modeling_act.py`).

Axes: B samples (b: B or 1), T queries, S keys, D width. Samples come first,
unlike the original, and an axis b of 1 broadcasts: the queries of the decoder
start equal for all samples, so their self-attention is computed once.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from act import dropout as dropout_lib

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  "relu": jax.nn.relu,
  "gelu": functools.partial(jax.nn.gelu, approximate=False),
}


def uniform_fan_in(fan_in: int) -> Callable[..., jax.Array]:
  """Returns torch's default initialiser of linear layers, U(+-fan_in^-1/2)."""
  bound = 1.0 / math.sqrt(fan_in)

  def init(key: jax.Array, shape: tuple[int, ...], dtype: type) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


def linear(
  inputs: int, outputs: int, *, xavier: bool = False, rngs: nnx.Rngs
) -> nnx.Linear:
  """Returns a linear layer with torch's initial values, or a Xavier kernel."""
  init = uniform_fan_in(inputs)
  return nnx.Linear(
    inputs,
    outputs,
    kernel_init=nnx.initializers.xavier_uniform() if xavier else init,
    bias_init=init,
    rngs=rngs,
  )


def layer_norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
  """Returns torch's layer norm: epsilon 1e-5, not Flax's 1e-6; two passes."""
  return nnx.LayerNorm(width, epsilon=1e-5, use_fast_variance=False, rngs=rngs)


class Attention(nnx.Module):
  """Multi-head attention with torch's initial values."""

  def __init__(self, width: int, heads: int, *, xavier: bool, rngs: nnx.Rngs):
    """`xavier` is for the main encoder and decoder: output matrix as well."""
    self.heads = heads
    init = nnx.initializers.xavier_uniform()
    # query, key and value side by side: the Xavier bound counts all three
    self.input_kernel = nnx.Param(init(rngs.params(), (width, 3 * width)))
    self.input_bias = nnx.Param(jnp.zeros(3 * width))
    self.output = nnx.Linear(
      width,
      width,
      kernel_init=init if xavier else uniform_fan_in(width),
      rngs=rngs,
    )

  def __call__(
    self,
    query: Float[Array, "b T D"],
    key: Float[Array, "c S D"],
    value: Float[Array, "c S D"],
    *,
    is_pad: Bool[Array, "B S"] | None = None,
    dropout: dropout_lib.Dropout | None = None,
    batch: int | None = None,
  ) -> Float[Array, "B T D"]:
    """Attends; keys with `is_pad` True are ignored (torch's convention).

    Dropout acts on the probabilities, of `batch` samples where those are one.
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
    *,
    xavier: bool,
    rngs: nnx.Rngs,
  ):
    """`activation` is a key of `ACTIVATIONS`."""
    self.activation = activation
    self.expand = linear(width, hidden, xavier=xavier, rngs=rngs)
    self.contract = linear(hidden, width, xavier=xavier, rngs=rngs)

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
  norm: nnx.LayerNorm,
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
    *,
    xavier: bool,
    rngs: nnx.Rngs,
  ):
    """`pre_norm` norms what enters a block, not the sum after it."""
    self.pre_norm = pre_norm
    self.self_attention = Attention(width, heads, xavier=xavier, rngs=rngs)
    self.feedforward = FeedForward(
      width, feedforward, activation, xavier=xavier, rngs=rngs
    )
    self.norm1 = layer_norm(width, rngs)
    self.norm2 = layer_norm(width, rngs)

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
    *,
    rngs: nnx.Rngs,
  ):
    """As `EncoderLayer`, with Xavier matrices."""
    self.pre_norm = pre_norm
    self.self_attention = Attention(width, heads, xavier=True, rngs=rngs)
    self.cross_attention = Attention(width, heads, xavier=True, rngs=rngs)
    self.feedforward = FeedForward(
      width, feedforward, activation, xavier=True, rngs=rngs
    )
    self.norm1 = layer_norm(width, rngs)
    self.norm2 = layer_norm(width, rngs)
    self.norm3 = layer_norm(width, rngs)

  def __call__(
    self,
    x: Float[Array, "b T D"],
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
    *,
    xavier: bool,
    rngs: nnx.Rngs,
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
        xavier=xavier,
        rngs=rngs,
      )
      setattr(self, f"layer{i}", layer)
    if pre_norm:
      self.norm = layer_norm(width, rngs)

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
    *,
    rngs: nnx.Rngs,
  ):
    """Sizes are those of every layer."""
    self.layers = layers
    for i in range(layers):
      layer = DecoderLayer(
        width, heads, feedforward, activation, pre_norm, rngs=rngs
      )
      setattr(self, f"layer{i}", layer)
    self.norm = layer_norm(width, rngs)

  def __call__(
    self,
    position: Float[Array, "1 T D"],
    memory: Float[Array, "B S D"],
    memory_position: Float[Array, "1 S D"],
    dropout: dropout_lib.Dropout | None = None,
  ) -> Float[Array, "B T D"]:
    """Returns one vector a query position; queries start as zeros."""
    x = jnp.zeros_like(position)
    for i in range(self.layers):
      layer = getattr(self, f"layer{i}")
      x = layer(x, position, memory, memory_position, dropout)
    return self.norm(x)
