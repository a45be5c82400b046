"""Convolutions at the lower resolution equal those at the higher one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamer import nets, resolution


def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )


def blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
  y = resolution.convolve_blocks(x, kernel)
  return resolution.unfold(y.reshape((*y.shape[:3], -1)))


def upsampled(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return resolution.unfold(resolution.convolve_upsampled(x, kernel))


def plain_upsampled(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return plain(nets.upsample(x), kernel)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 4), (5, 5), (7, 2)])
@pytest.mark.parametrize(
  ("ours", "theirs"), [(blocks, plain), (upsampled, plain_upsampled)]
)
def test_outputs_and_gradients(ours, theirs, size):
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (2, 6, 8, 3))
  kernel = jax.random.normal(keys[1], (*size, 3, 5))
  slope = jax.random.normal(keys[2], theirs(x, kernel).shape)

  def pull(function):
    y, back = jax.vjp(function, x, kernel)
    return y, *back(slope)

  for a, b in zip(pull(ours), pull(theirs), strict=True):
    scale = jnp.abs(b).max()
    np.testing.assert_allclose(a / scale, b / scale, atol=2e-6)


def test_unfold_undoes_fold():
  x = jnp.arange(2 * 4 * 6 * 3).reshape((2, 4, 6, 3))
  np.testing.assert_array_equal(resolution.unfold(resolution.fold(x)), x)
  first = resolution.fold(x)[0, 0, 0].reshape((2, 2, 3))
  np.testing.assert_array_equal(first, x[0, :2, :2])
