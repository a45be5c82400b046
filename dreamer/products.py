"""Matrix products that were worked out before."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def recalled(
  x: Float[Array, "*s I"],
  kernel: Float[Array, "I O"],
  known: Float[Array, "*s O"],
) -> Float[Array, "*s O"]:
  """Returns `known`, which is x @ kernel, with the gradient of that."""
  del x, kernel
  return known


def _recalled_forward(x: Array, kernel: Array, known: Array) -> tuple[Any, Any]:
  return known, (x, kernel)


def _recalled_backward(saved: Any, slope: Array) -> tuple[Any, ...]:
  _, back = jax.vjp(jnp.matmul, *saved)
  return *back(slope), None


recalled.defvjp(_recalled_forward, _recalled_backward)
