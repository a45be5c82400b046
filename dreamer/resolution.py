"""Convolutions next to a change of resolution, done at the lower one.

A pixel of the lower resolution stands for a 2x2 block of the higher one, whose
pixels become channels. So a convolution before pooling, or after upsampling,
is a smaller one with more channels: the same numbers up to the order of
summation, from products of a shape that is fast. Axes: N images, H W pixels,
h w = H/2 W/2, C channels in, D out, i j a place in the kernel, o q one in the
new kernel, u v and a b the pixel within a block, of the input and the output.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from carnet import convolution


def fold(x: Shaped[Array, "N H W C"]) -> Shaped[Array, "N h w _"]:
  """Returns 2x2 blocks of pixels as channels: [N, h, w, u v C]."""
  n, h, w, c = x.shape
  x = x.reshape((n, h // 2, 2, w // 2, 2, c)).transpose((0, 1, 3, 2, 4, 5))
  return x.reshape((n, h // 2, w // 2, 4 * c))


def unfold(x: Shaped[Array, "N h w _"]) -> Shaped[Array, "N H W D"]:
  """Returns what `fold` was given."""
  n, h, w, c = x.shape
  x = x.reshape((n, h, w, 2, 2, c // 4)).transpose((0, 1, 3, 2, 4, 5))
  return x.reshape((n, 2 * h, 2 * w, c // 4))


@jax.custom_vjp
def convolve_blocks(
  x: Float[Array, "N H W C"], kernel: Float[Array, "i j C D"]
) -> Float[Array, "N h w 4 D"]:
  """Returns the convolution of stride 1, folded; pixels of a block apart.

  A fifth to a half of the new kernel is zeros: it pays where channels are few.
  Rows are taken two at a time by the stride, columns as channels, so that sums
  go in the order of the given kernel: its near-ties under a max pool stay.
  """
  n, h, w, c = x.shape
  wide = _wide_kernel(kernel)
  low, high = _reach(kernel.shape[0])
  y = jax.lax.conv_general_dilated(
    x.reshape((n, h, w // 2, 2 * c)),
    wide.reshape((-1, wide.shape[2], 2 * c, wide.shape[-1])).astype(x.dtype),
    window_strides=(2, 1),
    padding=[(2 * low, 2 * high), _reach(kernel.shape[1])],
    dimension_numbers=convolution.LAYOUT,
  )
  return y.reshape((*y.shape[:3], 4, kernel.shape[3]))


def _blocks_forward(x: Array, kernel: Array) -> tuple[Array, Any]:
  return convolve_blocks(x, kernel), (x, kernel)


def _blocks_backward(saved: Any, slope: Array) -> tuple[Array, Array]:
  """Differentiates the same convolution with rows as channels too."""
  x, kernel = saved

  def folded(x: Array, kernel: Array) -> Array:
    wide = _wide_kernel(kernel).swapaxes(1, 2)  # o q u
    shape = (*wide.shape[:2], 4 * kernel.shape[2], wide.shape[-1])
    return _convolve(fold(x), wide.reshape(shape), kernel.shape[:2])

  slope = slope.reshape((*slope.shape[:3], -1))
  return jax.vjp(folded, x, kernel)[1](slope)


convolve_blocks.defvjp(_blocks_forward, _blocks_backward)


def _wide_kernel(kernel: Array) -> Array:
  """Returns [o, u, q, (v C), (a b D)]."""
  rows, columns = (_places(size, of_blocks=True) for size in kernel.shape[:2])
  wide = jnp.einsum(
    "aiou,bjqv,ijcd->ouqvcabd", rows, columns, kernel, precision="highest"
  )
  return wide.reshape((*wide.shape[:3], 2 * kernel.shape[2], -1))


def convolve_upsampled(
  x: Float[Array, "N h w C"], kernel: Float[Array, "i j C D"]
) -> Float[Array, "N h w _"]:
  """Returns the convolution of x with each pixel as 2x2, folded.

  Taps on equal pixels are added first: a 5x5 kernel becomes four of 3x3.
  """
  rows, columns = (_places(size, of_blocks=False) for size in kernel.shape[:2])
  wide = jnp.einsum(
    "aiou,bjqv,ijcd->oqcabd", rows, columns, kernel, precision="highest"
  )
  shape = (*wide.shape[:2], kernel.shape[2], -1)
  return _convolve(x, wide.reshape(shape), kernel.shape[:2])


def _reach(size: int) -> tuple[int, int]:
  """Returns how many blocks before and after one a kernel reaches."""
  before = (size - 1) // 2
  return (before + 1) // 2, (size - before) // 2


def _places(size: int, of_blocks: bool) -> Float[Array, "a i o u"]:
  """Tells with ones which block, and which pixel of it, a tap reads.

  Without `of_blocks` the pixels of a block are one and the same: one u.
  """
  low, high = _reach(size)
  places = np.zeros((2, size, low + high + 1, 2), np.float32)
  for a in range(2):
    for i in range(size):
      block, pixel = divmod(a + i - (size - 1) // 2, 2)
      places[a, i, block + low, pixel] = 1
  return jnp.asarray(places if of_blocks else places.sum(-1, keepdims=True))


def _convolve(x: Array, kernel: Array, size: tuple[int, ...]) -> Array:
  rows, columns = (_reach(one) for one in size)
  geometry = convolution.Geometry(padding=(rows, columns))
  return convolution.convolve(x, kernel.astype(x.dtype), geometry)
