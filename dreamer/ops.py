"""Scalar functions and returns that everything else is made of.

Axes: B batch, T time.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def symlog(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
  """Returns sign(x) log(1 + |x|), equation 9 of arXiv:2301.04104."""
  return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
  """Returns sign(x) (exp(|x|) - 1), the inverse of `symlog`."""
  return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def lambda_return(
  last: Float[Array, "B T"],
  terminal: Float[Array, "B T"],
  reward: Float[Array, "B T"],
  bootstrap: Float[Array, "B T"],
  discount: float,
  lam: float,
) -> Float[Array, "B T-1"]:
  """Returns the lambda-returns of all steps but the last.

  R_t = r_{t+1} + live ((1 - c) v_{t+1} + c R_{t+1}), where
  live = (1 - terminal_{t+1}) discount and c = (1 - last_{t+1}) lam; equation 6
  of arXiv:2301.04104 and `lambda_return` of dreamerv3/agent.py. `terminal` may
  be a probability.
  """
  live = (1 - terminal[:, 1:]) * jnp.float32(discount)
  carry_on = (1 - last[:, 1:]) * jnp.float32(lam)
  base = reward[:, 1:] + (1 - carry_on) * live * bootstrap[:, 1:]

  def step(
    following: Array, inputs: tuple[Array, Array]
  ) -> tuple[Array, Array]:
    here, decay = inputs
    total = here + decay * following
    return total, total

  inputs = (base.T, (live * carry_on).T)
  _, returns = jax.lax.scan(step, bootstrap[:, -1], inputs, reverse=True)
  return returns.T
