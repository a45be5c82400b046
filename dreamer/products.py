"""Matrix products whose values or gradients are worked out elsewhere.

Axes: T time, N rows, I inputs, O outputs, G groups of those.
"""

import functools
from collections.abc import Callable, Mapping
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


def multiply(x: Float[Array, "*s I"], kernel: Array) -> Float[Array, "*s O"]:
  """Returns the product, group by group where the kernel is [G, I, O]."""
  kernel = kernel.astype(x.dtype)
  grouped = kernel.ndim == 3
  return jnp.einsum("gni,gio->gno", x, kernel) if grouped else x @ kernel


def times(kernels: Mapping[str, Array]) -> Callable[[str, Array], Array]:
  """Returns (name, x) -> the product of x and `kernels[name]`."""
  return lambda name, x: multiply(x, kernels[name])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan(
  step: Callable[..., tuple[Any, Any]],
  kernels: Mapping[str, Array],
  others: Any,
  start: Any,
  inputs: Any,
) -> tuple[Any, Any]:
  """Returns `jax.lax.scan`, with gradients of kernels that are cheap.

  JAX would add up a product for each step, of as few rows as a step has; here
  the gradient of each kernel is one product over all steps.

  Args:
    step: (times, others, carry, input) -> (carry, output), where times(name, x)
      is the product of x and `kernels[name]`, [.., N, I]; each is used once. It
      closes over no arrays.
    kernels: [I, O] or [G, I, O] each.
    others: all else that the step needs gradients of.
    start: the first carry.
    inputs: of each step, time first.
  """
  plain = times(kernels)
  return jax.lax.scan(
    lambda carry, now: step(plain, others, carry, now), start, inputs
  )


def _scan_forward(
  step: Any, kernels: Any, others: Any, start: Any, inputs: Any
) -> tuple[Any, Any]:
  """Adds zeros to each product: their gradient is the product's."""

  def watched(
    others: Any, carry: Any, now: Any, zeros: Any = None
  ) -> tuple[Any, Any, Any]:
    factors, results = {}, {}

    def watch(name: str, x: Array) -> Array:
      factors[name], y = x, multiply(x, kernels[name])
      results[name] = y if zeros is None else y + zeros[name]
      return results[name]

    return *step(watch, others, carry, now), (factors, results)

  def run(zeros: Any, others: Any, start: Any, inputs: Any) -> Any:
    def body(carry: Any, now: Any) -> Any:
      carry, output, (factors, _) = watched(others, carry, *now)
      return carry, (output, factors)

    end, (outputs, factors) = jax.lax.scan(body, start, (inputs, zeros))
    return (end, outputs), factors

  first = jax.tree.map(lambda x: x[0], inputs)
  steps = jax.tree.leaves(inputs)[0].shape[0]
  _, _, (_, results) = jax.eval_shape(watched, others, start, first)
  zeros = jax.tree.map(lambda y: jnp.zeros((steps, *y.shape), y.dtype), results)
  known, back, factors = jax.vjp(
    run, zeros, others, start, inputs, has_aux=True
  )
  return known, (back, factors)


def _scan_backward(_: Any, saved: Any, slopes: Any) -> tuple[Any, ...]:
  back, factors = saved
  of_products, *rest = back(slopes)
  return jax.tree.map(_kernel_slope, factors, of_products), *rest


def _kernel_slope(x: Array, slope: Array) -> Array:
  form = "tgni,tgno->gio" if x.ndim == 4 else "tni,tno->io"
  return jnp.einsum(form, x, slope, preferred_element_type=jnp.float32)


scan.defvjp(_scan_forward, _scan_backward)
