"""Dropout for one forward pass."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from act import noise


class Dropout:
  """Zeroes entries and scales up the others; every call draws another mask."""

  def __init__(self, rate: float, key: jax.Array):
    """`rate` in [0, 1) is the fraction dropped, `key` a typed PRNG key."""
    self._rate = rate
    self._noise = noise.Noise(key)

  def __call__(
    self, x: Float[Array, "b ..."], batch: int | None = None
  ) -> Float[Array, "B ..."]:
    """Returns `x`, first broadcast to `batch` samples if given, with zeros."""
    shape = x.shape if batch is None else (batch, *x.shape[1:])
    keep = self._noise.bits(shape) >= jnp.uint32(round(self._rate * 2**32))
    scaled = x * jnp.asarray(1.0 / (1.0 - self._rate), x.dtype)
    return jnp.where(keep, scaled, jnp.zeros((), x.dtype))


def maybe(
  dropout: Dropout | None, x: Float[Array, "b ..."], batch: int | None = None
) -> Float[Array, "B ..."]:
  """Returns `dropout(x, batch)`, or `x` itself where there is no dropout."""
  return x if dropout is None else dropout(x, batch)
