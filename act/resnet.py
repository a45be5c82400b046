"""Image backbones: torchvision's ResNets and the small one of the quickstart.

Axes: N images, H W pixels, h w cells, C D channels. He et al. 2016; layout and
initial values are torchvision's `models/resnet.py`, without its classifier.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from act import noise as noise_lib
from act import pooling
from carnet import convolution

NORM_EPSILON = 1e-5

# blocks of the four stages, and whether these are bottlenecks
RESNETS = {
  "resnet18": ((2, 2, 2, 2), False),
  "resnet34": ((3, 4, 6, 3), False),
  "resnet50": ((3, 4, 6, 3), True),
  "resnet101": ((3, 4, 23, 3), True),
  "resnet152": ((3, 8, 36, 3), True),
}
BACKBONES = (*RESNETS, "small")
NORMS = ("frozen", "group")
BOTTLENECK_EXPANSION = 4


class FrozenStatistic(nnx.Variable):
  """A constant of the network: stored with its weights, never trained."""


class FrozenNorm(nnx.Module):
  """Batch norm whose four vectors are constants: one scale and one shift."""

  def __init__(self, channels: int):
    """Starts as the identity, up to epsilon."""
    self.scale = FrozenStatistic(jnp.ones(channels))
    self.bias = FrozenStatistic(jnp.zeros(channels))
    self.mean = FrozenStatistic(jnp.zeros(channels))
    self.variance = FrozenStatistic(jnp.ones(channels))

  def __call__(self, x: Float[Array, "N h w C"]) -> Float[Array, "N h w C"]:
    """Returns x s + (bias - mean s), s = scale (variance + epsilon)^-1/2."""
    scale = self.scale[...] * jax.lax.rsqrt(self.variance[...] + NORM_EPSILON)
    shift = self.bias[...] - self.mean[...] * scale
    scale, shift = scale.astype(x.dtype), shift.astype(x.dtype)
    return x * scale[None, None, None] + shift[None, None, None]


class GroupNorm(nnx.Module):
  """Group norm over neighbouring channels (Wu and He 2018)."""

  def __init__(self, channels: int, groups: int):
    """`groups` is lowered to a common divisor with `channels`."""
    self.groups = math.gcd(groups, channels)
    self.scale = nnx.Param(jnp.ones(channels))
    self.bias = nnx.Param(jnp.zeros(channels))

  def __call__(self, x: Float[Array, "N h w C"]) -> Float[Array, "N h w C"]:
    """Brings every group of an image to mean 0, variance 1, then scales.

    Statistics are taken a channel at a time and then joined a group, so that
    the image is read in the order it lies in memory.
    """
    wide = x.astype(jnp.float32)
    mean = self._over_group(jnp.mean(wide, axis=(1, 2), keepdims=True))
    centred = wide - mean
    variance = jnp.mean(centred * centred, axis=(1, 2), keepdims=True)
    scale = jax.lax.rsqrt(self._over_group(variance) + NORM_EPSILON)
    scale = scale * self.scale[...].astype(jnp.float32)[None, None, None]
    bias = self.bias[...].astype(jnp.float32)[None, None, None]
    return (centred * scale + bias).astype(x.dtype)

  def _over_group(self, x: Float[Array, "N 1 1 C"]) -> Float[Array, "N 1 1 C"]:
    grouped = x.reshape(x.shape[0], 1, 1, self.groups, -1)
    mean = jnp.mean(grouped, axis=-1, keepdims=True)
    return jnp.broadcast_to(mean, grouped.shape).reshape(x.shape)


def _norm(kind: str, channels: int) -> nnx.Module:
  # 32 groups: Wu and He's choice for ResNets
  return FrozenNorm(channels) if kind == "frozen" else GroupNorm(channels, 32)


class Convolution(nnx.Module):
  """A convolution without bias, padded alike on both sides, as in torch.

  Flax's "SAME" is uneven at stride 2.
  """

  def __init__(
    self,
    inputs: int,
    outputs: int,
    size: int,
    stride: int,
    noise: noise_lib.Noise,
    dilation: int = 1,
  ):
    """The kernel is square; its initial values are He's, by fan-out."""
    padding = dilation * (size // 2)
    self.geometry = convolution.Geometry(
      strides=(stride, stride),
      padding=((padding, padding), (padding, padding)),
      dilation=(dilation, dilation),
    )
    deviation = math.sqrt(2.0 / (outputs * size * size))
    shape = (size, size, inputs, outputs)
    self.kernel = nnx.Param(noise.normal(shape, deviation))

  def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w D"]:
    """Returns the cross-correlation of `x` and the kernel."""
    return convolution.convolve(x, self.kernel[...], self.geometry)


class Downsample(nnx.Module):
  """The skip connection where a block changes size: 1x1 convolution, norm."""

  def __init__(
    self,
    inputs: int,
    outputs: int,
    stride: int,
    norm: str,
    noise: noise_lib.Noise,
  ):
    """`norm` is one of `NORMS`."""
    self.conv = Convolution(inputs, outputs, 1, stride, noise)
    self.norm = _norm(norm, outputs)

  def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w D"]:
    """Returns `x` in the size of the block's output."""
    return self.norm(self.conv(x))


class BasicBlock(nnx.Module):
  """Two 3x3 convolutions, the first with the stride (ResNet-18, ResNet-34)."""

  def __init__(
    self,
    inputs: int,
    width: int,
    stride: int,
    norm: str,
    noise: noise_lib.Noise,
  ):
    """`width` channels come out; `norm` is one of `NORMS`."""
    self.conv1 = Convolution(inputs, width, 3, stride, noise)
    self.norm1 = _norm(norm, width)
    self.conv2 = Convolution(width, width, 3, 1, noise)
    self.norm2 = _norm(norm, width)
    if stride != 1 or inputs != width:
      self.downsample = Downsample(inputs, width, stride, norm, noise)

  def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w D"]:
    """Returns relu(block(x) + skip(x))."""
    y = jax.nn.relu(self.norm1(self.conv1(x)))
    y = self.norm2(self.conv2(y))
    skip = self.downsample(x) if hasattr(self, "downsample") else x
    return jax.nn.relu(y + skip)


class Bottleneck(nnx.Module):
  """1x1, 3x3 with the stride, 1x1 convolutions (ResNet-50 and deeper)."""

  def __init__(
    self,
    inputs: int,
    width: int,
    stride: int,
    dilation: int,
    norm: str,
    noise: noise_lib.Noise,
  ):
    """`width` channels inside, four times as many come out."""
    outputs = width * BOTTLENECK_EXPANSION
    self.conv1 = Convolution(inputs, width, 1, 1, noise)
    self.norm1 = _norm(norm, width)
    self.conv2 = Convolution(width, width, 3, stride, noise, dilation)
    self.norm2 = _norm(norm, width)
    self.conv3 = Convolution(width, outputs, 1, 1, noise)
    self.norm3 = _norm(norm, outputs)
    if stride != 1 or inputs != outputs:
      self.downsample = Downsample(inputs, outputs, stride, norm, noise)

  def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w D"]:
    """Returns relu(block(x) + skip(x))."""
    y = jax.nn.relu(self.norm1(self.conv1(x)))
    y = jax.nn.relu(self.norm2(self.conv2(y)))
    y = self.norm3(self.conv3(y))
    skip = self.downsample(x) if hasattr(self, "downsample") else x
    return jax.nn.relu(y + skip)


class Stage(nnx.Module):
  """Blocks `block0`, `block1`, ...; the first changes size and channels."""

  def __init__(
    self,
    blocks: int,
    inputs: int,
    width: int,
    stride: int,
    norm: str,
    *,
    bottleneck: bool,
    dilate: bool,
    noise: noise_lib.Noise,
  ):
    """`dilate` keeps the size and widens the kernels of the later blocks."""
    self.blocks = blocks
    self.channels = width * (BOTTLENECK_EXPANSION if bottleneck else 1)
    for i in range(blocks):
      first = i == 0
      inputs = inputs if first else self.channels
      block_stride = stride if first and not dilate else 1
      block: nnx.Module
      if bottleneck:
        dilation = 2 if dilate and not first else 1
        block = Bottleneck(inputs, width, block_stride, dilation, norm, noise)
      else:
        block = BasicBlock(inputs, width, block_stride, norm, noise)
      setattr(self, f"block{i}", block)

  def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w D"]:
    """Applies the blocks in turn."""
    for i in range(self.blocks):
      x = getattr(self, f"block{i}")(x)
    return x


class ResNet(nnx.Module):
  """A ResNet up to its last stage: `channels` maps at 1/32 of the size."""

  def __init__(
    self,
    name: str,
    widths: Sequence[int],
    norm: str,
    *,
    dilate_last: bool,
    noise: noise_lib.Noise,
  ):
    """`name` is a key of `RESNETS`; `dilate_last` gives 1/16 not 1/32."""
    blocks, bottleneck = RESNETS[name]
    self.conv1 = Convolution(3, widths[0], 7, 2, noise)
    self.norm1 = _norm(norm, widths[0])
    inputs = widths[0]
    for i, (count, width) in enumerate(zip(blocks, widths, strict=True)):
      stage = Stage(
        count,
        inputs,
        width,
        stride=1 if i == 0 else 2,
        norm=norm,
        bottleneck=bottleneck,
        dilate=dilate_last and i == len(blocks) - 1,
        noise=noise,
      )
      setattr(self, f"stage{i + 1}", stage)
      inputs = stage.channels
    self.channels = inputs

  def __call__(self, x: Float[Array, "N H W 3"]) -> Float[Array, "N h w C"]:
    """Returns the features of normalised images."""
    x = pooling.max_pool(jax.nn.relu(self.norm1(self.conv1(x))))
    for i in range(1, 5):
      x = getattr(self, f"stage{i}")(x)
    return x


class SmallBackbone(nnx.Module):
  """Four stride-2 convolutions with group norm: 1/16 of the size, no pooling.

  A hundredth of ResNet-18's arithmetic; learns from scratch within minutes.
  """

  GROUPS = 8

  def __init__(self, widths: Sequence[int], *, noise: noise_lib.Noise):
    """`widths` are the channels of the four convolutions, 5x5 then 3x3."""
    self.channels = widths[-1]
    inputs = 3
    for i, width in enumerate(widths, start=1):
      size = 5 if i == 1 else 3
      layer = Convolution(inputs, width, size, 2, noise)
      setattr(self, f"conv{i}", layer)
      setattr(self, f"norm{i}", GroupNorm(width, self.GROUPS))
      inputs = width

  def __call__(self, x: Float[Array, "N H W 3"]) -> Float[Array, "N h w C"]:
    """Returns the features of normalised images."""
    for i in range(1, 5):
      x = getattr(self, f"conv{i}")(x)
      x = jax.nn.relu(getattr(self, f"norm{i}")(x))
    return x


def make(
  name: str,
  widths: Sequence[int],
  norm: str,
  *,
  dilate_last: bool,
  noise: noise_lib.Noise,
) -> ResNet | SmallBackbone:
  """Returns the backbone `name`, one of `BACKBONES`."""
  if name == "small":
    return SmallBackbone(widths, noise=noise)
  return ResNet(name, widths, norm, dilate_last=dilate_last, noise=noise)
