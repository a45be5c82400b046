"""A max pool whose gradient is fast on a CPU.

XLA scatters the gradient to the maxima, 20 times slower on a CPU than the pool
itself. Here every pixel gathers from the windows, at most four, that hold it.

Axes: N images, H W pixels in, h w pixels out, C channels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

NOWHERE = np.uint8(9)


@jax.custom_vjp
def max_pool(x: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
  """Returns the maxima of 3x3 windows at stride 2, padded with -infinity.

  The gradient goes to the first maximum of a window, as in torch and XLA.
  """
  return lax.platform_dependent(x, cpu=_largest_entry, default=_reduce_windows)


def _reduce_windows(x: Array) -> Array:
  padding = ((0, 0), (1, 1), (1, 1), (0, 0))
  lowest = np.array(-np.inf, x.dtype)
  return lax.reduce_window(
    x, lowest, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding
  )


def _forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
  maxima = max_pool(x)
  return maxima, (x, maxima)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
  def scatter(x: Array, _: Array, gradient: Array) -> Array:
    return jax.vjp(_reduce_windows, x)[1](gradient)[0]

  x, maxima = saved
  return (
    lax.platform_dependent(x, maxima, gradient, cpu=gather, default=scatter),
  )


max_pool.defvjp(_forward, _backward)


def gather(
  x: Float[Array, "N H W C"],
  maxima: Float[Array, "N h w C"],
  gradient: Float[Array, "N h w C"],
) -> Float[Array, "N H W C"]:
  """Returns the gradient of `x`, given its pool and the gradient of that."""
  height, width = x.shape[1:3]
  h, w = maxima.shape[1:3]
  edges = ((0, 0), (0, 1), (0, 1), (0, 0))
  place = jnp.pad(_first_place(x, maxima), edges, constant_values=NOWHERE)
  gradient = jnp.pad(gradient, edges)
  # else XLA works the places out again for every pixel
  place, gradient = lax.optimization_barrier((place, gradient))

  def given(i: int, j: int) -> Array:
    """Returns what the pixels that are entry i, j of a window receive of it.

    Entry 0 is the last pixel of the pair before the window's own pair.
    """
    rows, columns = slice(i == 0, h + (i == 0)), slice(j == 0, w + (j == 0))
    chosen = place[:, rows, columns] == 3 * i + j
    received = gradient[:, rows, columns]
    return jnp.where(chosen, received, jnp.zeros_like(received))

  even = jnp.stack([given(1, 1), given(1, 2) + given(1, 0)], axis=3)
  corners = given(2, 2) + given(2, 0) + given(0, 2) + given(0, 0)
  odd = jnp.stack([given(2, 1) + given(0, 1), corners], axis=3)
  pixels = jnp.stack([even, odd], axis=2)
  return pixels.reshape(x.shape[0], 2 * h, 2 * w, -1)[:, :height, :width]


def _largest_entry(x: Array) -> Array:
  return functools.reduce(jnp.maximum, _entries(x))


def _first_place(x: Array, maxima: Array) -> Array:
  """Returns 3 i + j of the first entry of each window equal to its maximum."""
  place = jnp.full(maxima.shape, NOWHERE)
  for k, entry in reversed(list(enumerate(_entries(x)))):
    place = jnp.where(entry == maxima, jnp.uint8(k), place)
  return place


def _entries(x: Array) -> list[Array]:
  """Returns the nine entries of all windows, [N h w C] each, row by row.

  Cut from x by the parity of row and column: a shift within one parity costs
  less than slices of a padded x, which XLA would first write out.
  """
  height, width = x.shape[1:3]
  lowest = np.array(-np.inf, x.dtype)
  edges = ((0, height % 2), (0, width % 2))
  x = jnp.pad(x, ((0, 0), *edges, (0, 0)), constant_values=lowest)
  keep, shift = (0, 0, 0), (1, -1, 0)
  entries = []
  for i in range(3):
    for j in range(3):
      pixels = x[:, (i + 1) % 2 :: 2, (j + 1) % 2 :: 2]
      by = (keep, keep if i else shift, keep if j else shift, keep)
      entries.append(lax.pad(pixels, lowest, by))
  return entries
