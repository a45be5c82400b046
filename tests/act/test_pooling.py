"""The gathered gradient of the max pool equals XLA's scattered one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from act import pooling


def plain(x: jax.Array) -> jax.Array:
  return nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


def pull(function, x: jax.Array) -> tuple[jax.Array, jax.Array]:
  y, back = jax.vjp(function, x)
  return y, back(jax.random.normal(jax.random.key(1), y.shape, y.dtype))[0]


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (1, 2), (2, 1), (5, 4)])
@pytest.mark.parametrize("ties", [False, True])
def test_equals_xla_with_and_without_ties(size, ties):
  x = jax.random.normal(jax.random.key(0), (3, *size, 5))
  x = jnp.maximum(jnp.round(x), 0.0) if ties else x
  for ours, theirs in zip(
    jax.jit(lambda x: pull(pooling.max_pool, x))(x),
    jax.jit(lambda x: pull(plain, x))(x),
    strict=True,
  ):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_first_of_equal_maxima_takes_all():
  # torch: max_pool2d(ones(1, 1, 4, 4), 3, 2, 1).sum().backward()
  gradient = jax.grad(lambda x: pooling.max_pool(x).sum())(
    jnp.ones((1, 4, 4, 1))
  )
  expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
  np.testing.assert_array_equal(gradient[0, :, :, 0], expected)


def test_half_precision_keeps_its_dtype():
  x = jax.random.normal(jax.random.key(0), (1, 6, 6, 3), jnp.bfloat16)
  y, gradient = pull(pooling.max_pool, x)
  assert y.dtype == gradient.dtype == jnp.bfloat16
  np.testing.assert_array_equal(y, plain(x))


@pytest.mark.parametrize(
  ("platform", "scatters"), [("cpu", False), ("cuda", True)]
)
def test_only_a_cpu_program_gathers(platform, scatters):
  x = jnp.zeros((1, 6, 6, 3))
  traced = jax.jit(jax.grad(lambda x: pooling.max_pool(x).sum())).trace(x)
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert ("select_and_scatter" in text) == scatters
