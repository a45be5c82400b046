"""Shapes of observations and actions, and vectors made of either."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dreamer import ops

Bounds = tuple[tuple[float | None, float | None], ...]


@dataclasses.dataclass(frozen=True)
class Space:
  """One array of an observation or action.

  Attributes:
    shape: without leading axes.
    classes: how many values a discrete array has; 0 is continuous. The
      dimensions of one array all have the same number.
    is_image: uint8 [H, W, channels], values 0 to 255.
    bounds: of an action, lowest and highest of each element in the units of
      the environment, which the agent's -1 to 1 stand for; None where an
      element has none. Kept for whoever acts elsewhere; networks see no bounds.
  """

  shape: tuple[int, ...] = ()
  classes: int = 0
  is_image: bool = False
  bounds: Bounds | None = dataclasses.field(default=None, compare=False)

  @property
  def size(self) -> int:
    """How many numbers stand for it in a vector, one-hot if discrete."""
    return math.prod(self.shape) * (self.classes or 1)

  @property
  def dtype(self) -> str:
    """Of arrays of this space."""
    if self.is_image:
      return "uint8"
    return "int32" if self.classes else "float32"


Spaces = Mapping[str, Space]


def vector_size(spaces: Spaces) -> int:
  """Returns the width of `to_vector`."""
  return sum(space.size for space in spaces.values())


def to_vector(
  values: Mapping[str, Array],
  spaces: Spaces,
  squash: Callable[[Array], Array] = lambda x: x,
) -> Float[Array, "*s D"]:
  """Returns the arrays as one vector: keys sorted, discrete ones one-hot.

  A key with a -1 (discrete) or a -inf (continuous) anywhere is missing, and all
  zeros.

  Args:
    values: arrays of [*s, *shape].
    spaces: what they are; other keys are left out.
    squash: applied to continuous ones, such as `ops.symlog`.
  """
  parts = []
  for name in sorted(spaces):
    space, value = spaces[name], values[name]
    leading = value.shape[: value.ndim - len(space.shape)]
    if space.classes:
      flat = value.reshape((*leading, -1))
      missing = jnp.any(flat == -1, axis=-1, keepdims=True)
      part = jax.nn.one_hot(flat, space.classes).reshape((*leading, -1))
    else:
      flat = value.astype(jnp.float32).reshape((*leading, -1))
      missing = jnp.any(jnp.isneginf(flat), axis=-1, keepdims=True)
      part = squash(jnp.where(missing, 0, flat))
    parts.append(jnp.where(missing, 0, part))
  return jnp.concatenate(parts, axis=-1)


def symlog_vector(
  values: Mapping[str, Array], spaces: Spaces
) -> Float[Array, "*s D"]:
  """Returns `to_vector` with continuous keys squashed by symlog."""
  return to_vector(values, spaces, ops.symlog)
