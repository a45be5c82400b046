"""A recording without some of its episodes.

Letters: B frames asked for, F frames of the subset.
"""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from act.recordings import base
from carnet import errors


def without(found: base.Recording, excluded: Collection[int]) -> base.Recording:
  """Returns the recording without the episodes of these numbers.

  Args:
    found: any recording.
    excluded: as the data number them; those that were skipped are gone already.

  Raises:
    UserError: there is no such episode, or none is left.
  """
  if not excluded:
    return found
  known = {*found.episodes.tolist(), *(x.episode for x in found.skipped)}
  if unknown := sorted(set(excluded) - known):
    raise errors.UserError(
      f"config.dataset.exclude_episodes has {unknown[0]}, {found.origin} has "
      f"episodes {min(known)} to {max(known)}"
    )
  kept = ~np.isin(found.episodes, list(excluded))
  if not kept.any():
    raise errors.UserError(
      f"no episode of {found.origin} is left: all are excluded or unsound"
    )
  frames = np.flatnonzero(np.repeat(kept, found.lengths))

  def open_images(names: Sequence[str]) -> base.Images:
    return _Images(found.open_images(names), frames)

  return dataclasses.replace(
    found,
    vectors={
      name: base.Vector(vector.values[frames], vector.names)
      for name, vector in found.vectors.items()
    },
    lengths=found.lengths[kept],
    episodes=found.episodes[kept],
    tasks=tuple(np.asarray(found.tasks, object)[kept]),
    open_images=open_images,
  )


class _Images:
  """Reads the pictures of frames that are left."""

  def __init__(self, images: base.Images, frames: Int[np.ndarray, " F"]):
    self._images, self._frames = images, frames

  def read(
    self, frames: Int[np.ndarray, " B"]
  ) -> dict[str, UInt8[np.ndarray, "B H W 3"]]:
    """Returns the images of each camera."""
    return self._images.read(self._frames[frames])
