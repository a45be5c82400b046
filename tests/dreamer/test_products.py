"""Products with gradients of their own, against plain differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamer import products


def _normal(seed, *shape):
  return jax.random.normal(jax.random.key(seed), shape)


def test_a_recalled_product_has_the_value_and_the_gradient_of_the_product():
  x, kernel = _normal(0, 2, 3, 4), _normal(1, 4, 5)

  def recalled(x, kernel):
    known = jax.lax.stop_gradient(x @ kernel)
    return jnp.sum(jnp.sin(products.recalled(x, kernel, known)))

  def plain(x, kernel):
    return jnp.sum(jnp.sin(x @ kernel))

  for mine, real in zip(
    jax.value_and_grad(recalled, (0, 1))(x, kernel),
    jax.value_and_grad(plain, (0, 1))(x, kernel),
    strict=True,
  ):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), mine, real
    )


def test_grouped_products_are_those_of_each_group():
  x, kernel = _normal(0, 2, 3, 4), _normal(1, 2, 4, 5)
  found = products.multiply(x, kernel)
  for group in range(2):
    np.testing.assert_allclose(
      found[group], x[group] @ kernel[group], rtol=1e-5
    )


@pytest.mark.parametrize("grouped", [False, True])
def test_gradients_of_a_scan_are_those_of_lax_scan(grouped):
  """Of kernels, of what else the step uses, of the start and of the inputs."""
  lead = (2, 3) if grouped else (3,)
  shape = (2, 4, 4) if grouped else (4, 4)
  kernels = {"w": _normal(0, *shape), "v": _normal(1, *shape)}
  others = _normal(2, 4).reshape((1,) * len(lead) + (4,))
  start, inputs = _normal(3, *lead, 4), _normal(4, 5, *lead, 4)

  def step(times, others, carry, now):
    carry = jnp.tanh(times("w", carry) + times("v", now) + others)
    return carry, carry * now

  def total(scan, *arguments):
    end, outputs = scan(*arguments)
    return jnp.sum(end) + jnp.sum(jnp.square(outputs))

  def mine(*arguments):
    return total(lambda *a: products.scan(step, *a), *arguments)

  def plain(kernels, others, start, inputs):
    times = products.times(kernels)
    return total(
      lambda *a: jax.lax.scan(lambda c, x: step(times, others, c, x), *a),
      start,
      inputs,
    )

  arguments = (kernels, others, start, inputs)
  found = jax.value_and_grad(mine, (0, 1, 2, 3))(*arguments)
  expected = jax.value_and_grad(plain, (0, 1, 2, 3))(*arguments)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    found,
    expected,
  )
