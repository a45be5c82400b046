"""Layers: linear, block-linear, convolution, RMSNorm, and MLPs of them.

Source: embodied/jax/nets.py of danijar/dreamerv3. Parameters are float32; the
inputs decide the dtype that layers compute in. Attribute names are parameter
paths, equal to the original's below the module.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from dreamer import products, resolution

_TRUNCATION = 2.0  # standard deviations
_CORRECTION = 1.1368  # a normal truncated there has a deviation of 1 / 1.1368
_EPSILON = 1e-4  # of RMSNorm
_MANY_CHANNELS = 16  # a vector register of a CPU: from here products are fast


def truncated_normal(
  rngs: nnx.Rngs, shape: tuple[int, ...], fan_in: int, scale: float
) -> Float[Array, "..."]:
  """Returns initial weights of deviation scale / sqrt(fan_in)."""
  if not scale:
    return jnp.zeros(shape, jnp.float32)
  noise = jax.random.truncated_normal(
    rngs.params(), -_TRUNCATION, _TRUNCATION, shape, jnp.float32
  )
  return noise * np.float32(_CORRECTION * scale * math.sqrt(1 / fan_in))


class Linear(nnx.Module):
  """An affine map of the last axis to `shape`."""

  def __init__(
    self,
    inputs: int,
    shape: int | tuple[int, ...],
    rngs: nnx.Rngs,
    scale: float = 1.0,
  ) -> None:
    self._shape = (shape,) if isinstance(shape, int) else tuple(shape)
    outputs = math.prod(self._shape)
    weights = truncated_normal(rngs, (inputs, outputs), inputs, scale)
    self.kernel = nnx.Param(weights)
    self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))

  def __call__(self, x: Float[Array, "*s I"]) -> Float[Array, "..."]:
    """Returns the map, the last axis reshaped."""
    return self.finish(self.product(x))

  def product(self, x: Float[Array, "*s I"]) -> Float[Array, "*s O"]:
    """Returns the map before the bias is added."""
    return x @ _cast(self.kernel, x)

  def recalled(
    self, x: Float[Array, "*s I"], known: Float[Array, "*s O"]
  ) -> Float[Array, "..."]:
    """Returns the map, and its gradient, where `product` is known already."""
    return self.finish(products.recalled(x, _cast(self.kernel, x), known))

  def finish(self, y: Float[Array, "*s O"]) -> Float[Array, "..."]:
    """Returns the map from its product: biased, the last axis reshaped."""
    y = y + _spread(_cast(self.bias, y), y)
    return y.reshape((*y.shape[:-1], *self._shape))


class BlockLinear(nnx.Module):
  """As many linear maps as groups, each of its own slice of the last axis."""

  def __init__(
    self, inputs: int, outputs: int, groups: int, rngs: nnx.Rngs
  ) -> None:
    self._groups = groups
    shape = (groups, inputs // groups, outputs // groups)
    # The original counts the whole input width as fan-in, not a group's.
    self.kernel = nnx.Param(truncated_normal(rngs, shape, inputs, 1.0))
    self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))

  def __call__(self, x: Float[Array, "*s I"]) -> Float[Array, "*s O"]:
    """Returns the maps of all groups, side by side."""
    flat = x.reshape((-1, x.shape[-1]))
    y = join_groups(self.grouped(split_groups(flat, self._groups)))
    return y.reshape((*x.shape[:-1], -1))

  def grouped(self, x: Float[Array, "G N i"]) -> Float[Array, "G N o"]:
    """Returns the map of each group."""
    return self.finish_groups(products.multiply(x, self.kernel[...]))

  def finish_groups(self, y: Float[Array, "G N o"]) -> Float[Array, "G N o"]:
    """Returns the map of each group from its product."""
    return y + _cast(self.bias, y).reshape((self._groups, 1, -1))

  def finish(self, y: Float[Array, "N O"]) -> Float[Array, "N O"]:
    """Returns the maps, side by side, from their products."""
    return y + _spread(_cast(self.bias, y), y)

  def split_kernel(
    self, own: int
  ) -> tuple[Float[Array, "G i o"], Float[Array, "J O"]]:
    """Returns the kernel in two, for groups that see J common inputs besides:
    what multiplies the `own` of each, and all that multiplies the common ones.
    """
    kernel = self.kernel[...]
    # one dense product instead of a copy of the common inputs for each group
    rest = kernel[:, own:].swapaxes(0, 1)
    return kernel[:, :own], rest.reshape((rest.shape[0], -1))


def split_groups(x: Float[Array, "N I"], groups: int) -> Float[Array, "G N i"]:
  """Returns equal slices of the last axis."""
  x = x.reshape((x.shape[0], groups, x.shape[1] // groups))
  return _written(x.swapaxes(0, 1))


def join_groups(x: Float[Array, "G N o"]) -> Float[Array, "N O"]:
  """Returns the slices side by side."""
  return _written(x).swapaxes(0, 1).reshape((x.shape[1], -1))


def _written(x: Array) -> Array:
  """Returns `x`, written to memory on a CPU.

  A transpose is cheap there, but what XLA fuses with one is not vectorised.
  """
  return jax.lax.platform_dependent(
    x, cpu=jax.lax.optimization_barrier, default=lambda x: x
  )


class Conv(nnx.Module):
  """A convolution of stride 1 that keeps height and width."""

  def __init__(
    self,
    inputs: int,
    outputs: int,
    size: int,
    rngs: nnx.Rngs,
    scale: float = 1.0,
  ) -> None:
    shape = (size, size, inputs, outputs)
    fan_in = size * size * inputs
    self.kernel = nnx.Param(truncated_normal(rngs, shape, fan_in, scale))
    self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))

  def __call__(self, x: Float[Array, "N H W I"]) -> Float[Array, "N H W O"]:
    """Returns the convolution."""
    y = jax.lax.conv_general_dilated(
      x,
      _cast(self.kernel, x),
      window_strides=(1, 1),
      padding="SAME",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + _spread(_cast(self.bias, y), y)

  def pooled(self, x: Float[Array, "N H W I"]) -> Float[Array, "N h w O"]:
    """Returns `max_pool` of the convolution."""
    if self.kernel.shape[2] >= _MANY_CHANNELS:
      return max_pool(self(x))
    y = resolution.convolve_blocks(x, self.kernel[...])
    # the bias, which is the same in a block, after: max(y) + b is max(y + b)
    y = jnp.max(y, axis=3)
    return y + _spread(_cast(self.bias, y), y)

  def upsampled(self, x: Float[Array, "N h w I"]) -> Float[Array, "N H W O"]:
    """Returns the convolution of `upsample`."""
    y = resolution.convolve_upsampled(x, self.kernel[...])
    y = resolution.unfold(y)
    return y + _spread(_cast(self.bias, y), y)


class RMSNorm(nnx.Module):
  """Divides by the root mean square of the last axis, times a learned scale."""

  def __init__(self, size: int) -> None:
    self.scale = nnx.Param(jnp.ones(size, jnp.float32))

  def __call__(self, x: Float[Array, "*s D"]) -> Float[Array, "*s D"]:
    """Returns the normalised array, computed in float32."""
    size = _inverse_rms(x.astype(jnp.float32))
    return _scaled(x, size, self.scale[...]).astype(x.dtype)

  def silu(self, x: Float[Array, "*s D"]) -> Float[Array, "*s D"]:
    """Returns SiLU of the normalised array."""
    return _norm_silu(x, self.scale[...])


@jax.custom_vjp
def _norm_silu(
  x: Float[Array, "*s D"], scale: Float[Array, " D"]
) -> Float[Array, "*s D"]:
  """Returns silu(x / rms(x) * scale).

  The gradient keeps `x` alone and works the rest out again: memory is dearer.
  """
  return _norm_silu_forward(x, scale)[0]


def _inverse_rms(wide: Array) -> Array:
  mean = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
  return jax.lax.rsqrt(mean + _EPSILON)


def _scaled(x: Array, size: Array, scale: Array) -> Array:
  wide = x.astype(jnp.float32)
  return wide * (size * _spread(scale, wide))


def _norm_silu_forward(x: Array, scale: Array) -> tuple[Array, Any]:
  size = _inverse_rms(x.astype(jnp.float32))
  y = jax.nn.silu(_scaled(x, size, scale).astype(x.dtype))
  return y, (x, size, scale)


def _norm_silu_backward(saved: Any, slope: Array) -> tuple[Array, Array]:
  # or XLA keeps all that the forward pass worked out too
  x, size, scale = jax.lax.optimization_barrier(saved)
  wide, to_z = x.astype(jnp.float32), slope.astype(jnp.float32)
  z = _scaled(x, size, scale)
  gate = jax.nn.sigmoid(z)
  to_z = to_z * (gate * (1 + z * (1 - gate)))
  normed = wide * size
  leading = tuple(range(x.ndim - 1))
  to_scale = jnp.sum(to_z * normed, axis=leading)
  to_normed = to_z * _spread(scale, to_z)
  along = jnp.mean(to_normed * normed, axis=-1, keepdims=True)
  return ((to_normed - normed * along) * size).astype(x.dtype), to_scale


_norm_silu.defvjp(_norm_silu_forward, _norm_silu_backward)


class MLP(nnx.Module):
  """Layers of Linear, RMSNorm and SiLU."""

  linear0: Linear

  def __init__(
    self, inputs: int, units: int, layers: int, rngs: nnx.Rngs
  ) -> None:
    self._layers = layers
    for i in range(layers):
      setattr(
        self, f"linear{i}", Linear(inputs if i == 0 else units, units, rngs)
      )
      setattr(self, f"norm{i}", RMSNorm(units))

  def __call__(
    self, x: Float[Array, "*s I"], first: Float[Array, "*s U"] | None = None
  ) -> Float[Array, "*s U"]:
    """Returns the last layer.

    `first` is `linear0.product(x)`, where it is known already.
    """
    for i in range(self._layers):
      layer = getattr(self, f"linear{i}")
      known = i == 0 and first is not None
      x = layer.recalled(x, first) if known else layer(x)
      x = getattr(self, f"norm{i}").silu(x)
    return x


def max_pool(x: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
  """Returns maxima of 2x2 windows; equal ones share the gradient."""
  n, h, w, c = x.shape
  return x.reshape((n, h // 2, 2, w // 2, 2, c)).max((2, 4))


def upsample(x: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
  """Returns each pixel as 2x2 pixels."""
  return x.repeat(2, axis=-3).repeat(2, axis=-2)


def attribute(key: str) -> str:
  """Returns the attribute for an observation or action key, such as "a/b".

  A "/" would part the path of its parameters.
  """
  return key.replace("/", ".")


def _cast(variable: Any, x: Array) -> Array:
  return variable[...].astype(x.dtype)


def _spread(x: Array, like: Array) -> Array:
  return x.reshape((1,) * (like.ndim - 1) + x.shape)
