"""Checks of what goes into N environments and of what comes out."""

from typing import Any

import numpy as np

from carnet import errors
from carnet.envs import base, vector_buffers


def accept(
  actions: Any, spaces: vector_buffers.Spaces, count: int
) -> dict[str, np.ndarray]:
  """Returns copies of the actions, [N, ...] each, by name.

  Raises:
    UserError: they do not fit the space, or one is no finite number.
  """
  if isinstance(spaces.action, base.Space):
    actions = {"action": actions}
  if not isinstance(actions, dict) or actions.keys() != spaces.actions.keys():
    raise errors.UserError(
      f"the action is a dictionary with {', '.join(sorted(spaces.actions))}"
    )
  return {
    name: _accept(actions[name], name, space, count)
    for name, space in spaces.actions.items()
  }


def not_finite(buffers: vector_buffers.Buffers) -> tuple[int, str] | None:
  """Returns which environment shows a NaN or an infinity, and where."""
  for name, rows in (*buffers.observation.items(), ("reward", buffers.reward)):
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
      finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
      return int(np.flatnonzero(~finite)[0]), name
  return None


def _accept(
  action: Any, name: str, space: base.Space, count: int
) -> np.ndarray:
  array, shape = np.asarray(action), (count, *space.shape)
  fits = np.can_cast(array.dtype, space.dtype, "same_kind")
  if array.shape != shape or not fits:
    raise errors.UserError(
      f"the actions '{name}' are {array.dtype} {list(array.shape)}, but "
      f"{count} environments take {space.dtype} {list(shape)}"
    )
  if space.classes and not 0 <= array.min() <= array.max() < space.classes:
    raise errors.UserError(
      f"the actions '{name}' go from {array.min()} to {array.max()}, but there "
      f"are {space.classes} classes, counted from 0"
    )
  if array.dtype.kind == "f" and not np.isfinite(array).all():
    raise errors.UserError(
      f"the actions '{name}' hold a NaN or an infinity: the policy has diverged"
    )
  return np.array(array, space.dtype)
