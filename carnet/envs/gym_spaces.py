"""Gymnasium's spaces as ours, with what carries values across.

A space becomes one or more flat keys: a dictionary's are joined by "/", those
of a tuple are its positions, and a MultiDiscrete of unequal numbers becomes one
key a number, "0", "1", ...
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from carnet import errors
from carnet.envs import base, spaces

_Spaces = gymnasium.spaces


@dataclasses.dataclass(frozen=True)
class Leaf:
  """One array of a nested space."""

  path: tuple[str | int, ...]  # keys and positions that lead to it
  space: base.Space
  offset: int = 0  # the value of class 0 in Gymnasium's numbers

  @property
  def name(self) -> str:
    """The flat key; "" where the space is one array."""
    return "/".join(map(str, self.path))

  def find(self, value: Any) -> Any:
    """Returns this leaf of a nested value."""
    for key in self.path:
      value = value[key]
    return value

  @property
  def is_image(self) -> bool:
    """Whether it is uint8 [H, W, channels]."""
    return self.space.dtype == "uint8"


def leaves(
  space: gymnasium.Space, what: str, path: tuple[str | int, ...] = ()
) -> Iterator[Leaf]:
  """Yields the arrays of a space; `UserError` for one that has none.

  Args:
    space: Gymnasium's.
    what: whose it is, for the error.
    path: where it is.
  """
  if isinstance(space, _Spaces.Dict):
    for name, part in space.spaces.items():
      yield from leaves(part, what, (*path, name))
  elif isinstance(space, _Spaces.Tuple):
    for index, part in enumerate(space.spaces):
      yield from leaves(part, what, (*path, index))
  elif isinstance(space, _Spaces.Box):
    yield Leaf(path, _of_box(space))
  elif isinstance(space, _Spaces.Discrete):
    yield Leaf(path, _classes((), int(space.n)), int(space.start))
  elif isinstance(space, _Spaces.MultiBinary):
    yield Leaf(path, _classes(space.shape, 2))
  elif isinstance(space, _Spaces.MultiDiscrete):
    yield from _of_multi_discrete(space, what, path)
  else:
    raise errors.UserError(
      f"{what} holds a {type(space).__name__}: only Box, Discrete, "
      "MultiDiscrete, MultiBinary, Dict and Tuple are numbers"
    )


def _of_multi_discrete(
  space: gymnasium.spaces.MultiDiscrete,
  what: str,
  path: tuple[str | int, ...],
) -> Iterator[Leaf]:
  counts = set(space.nvec.ravel().tolist())
  if np.any(space.start):
    raise errors.UserError(f"{what} holds a MultiDiscrete that starts above 0")
  if len(counts) == 1:
    yield Leaf(path, _classes(space.nvec.shape, counts.pop()))
    return
  if space.nvec.ndim > 1:
    raise errors.UserError(f"{what} holds a MultiDiscrete of unequal rows")
  for index, count in enumerate(space.nvec.tolist()):
    yield Leaf((*path, index), _classes((), count))


def _classes(shape: tuple[int, ...], count: int) -> base.Space:
  return base.Space(tuple(shape), "int32", 0.0, count - 1.0, count)


def _of_box(space: gymnasium.spaces.Box) -> base.Space:
  if space.dtype == np.uint8 and len(space.shape) == 3:
    return base.Space(tuple(space.shape), "uint8", 0.0, 255.0)
  low, high = _bound(space.low), _bound(space.high)
  return base.Space(tuple(space.shape), "float32", low, high)


def _bound(values: np.ndarray) -> float | tuple[float, ...]:
  flat = values.astype(np.float64).ravel().tolist()
  if len(set(flat)) == 1:
    return flat[0]
  return tuple(flat)


def resized(leaf: Leaf, size: int) -> Leaf:
  """Returns the leaf with its image, if it is one, of another size."""
  if not leaf.is_image:
    return leaf
  shape = (size, size, leaf.space.shape[2])
  return dataclasses.replace(
    leaf, space=dataclasses.replace(leaf.space, shape=shape)
  )


def observed(leaf: Leaf, observation: Any) -> np.ndarray:
  """Returns a copy of the leaf's array in our dtype and size."""
  value = leaf.find(observation)
  if leaf.is_image and value.shape != leaf.space.shape:
    size = leaf.space.shape[1], leaf.space.shape[0]
    channels = [
      Image.fromarray(value[:, :, i]).resize(size, Image.Resampling.BILINEAR)
      for i in range(value.shape[2])
    ]
    return np.stack([np.asarray(c) for c in channels], -1)
  if leaf.offset:
    return np.asarray(value - leaf.offset, leaf.space.dtype)
  return np.array(value, leaf.space.dtype)


def to_action(space: gymnasium.Space, what: str) -> Callable[[Any], Any]:
  """Returns the function from our actions to those of `space`."""
  if isinstance(space, _Spaces.Box):
    if not np.issubdtype(space.dtype, np.floating):
      raise errors.UserError(
        f"{what} is a Box of {space.dtype}: not continuous"
      )
    return lambda action: _continuous(action, space)
  if isinstance(space, _Spaces.Discrete):
    count, start = int(space.n), space.start
    return lambda action: start + spaces.category(action, count)
  return lambda action: np.asarray(action, space.dtype).reshape(space.shape)


def _continuous(action: Any, space: gymnasium.spaces.Box) -> np.ndarray:
  array = np.asarray(action, space.dtype).reshape(space.shape)
  spaces.check_finite(array)
  return array


def nested_action(space: gymnasium.Space, what: str) -> Callable[[Any], Any]:
  """Returns the function from our flat dictionary to a nested action."""
  return _nested(space, what, ())


def _nested(
  space: gymnasium.Space, what: str, path: tuple[str | int, ...]
) -> Callable[[Any], Any]:
  if isinstance(space, _Spaces.Dict):
    parts = {k: _nested(v, what, (*path, k)) for k, v in space.spaces.items()}
    return lambda action: {k: part(action) for k, part in parts.items()}
  if isinstance(space, _Spaces.Tuple):
    places = [_nested(v, what, (*path, i)) for i, v in enumerate(space.spaces)]
    return lambda action: tuple(part(action) for part in places)
  parts_of = list(leaves(space, what, path))
  names = [leaf.name for leaf in parts_of]
  convert = to_action(space, what)
  if parts_of[0].path == path:
    return lambda action: convert(action[names[0]])
  return lambda action: convert([action[name] for name in names])
