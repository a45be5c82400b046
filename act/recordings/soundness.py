"""Which episodes are to be left out of a recording, and why."""

import concurrent.futures
import dataclasses
import os
from collections.abc import Collection, Sequence

import numpy as np

from act.recordings import base, metadata, subset
from carnet import errors, progress

_FRAMES = 16  # read at a time


def refuse_bad(
  found: base.Recording, excluded: Collection[int]
) -> base.Recording:
  """Returns a recording of which only excluded episodes were skipped.

  What a cache left out of its source was left out on request, and stays listed.

  Raises:
    UserError: another one is unsound.
  """
  before = metadata.uncached(found)
  for x in found.skipped:
    if x.episode not in before and x.episode not in excluded:
      raise errors.UserError(
        f"episode {x.episode}: {x.reason} (repair it, leave it out with "
        "config.dataset.exclude_episodes, or all such with "
        "--skip-bad-episodes)"
      )
  return dataclasses.replace(
    found, skipped=tuple(x for x in found.skipped if x.episode in before)
  )


def skip(
  found: base.Recording, bad: Collection[base.Skipped]
) -> base.Recording:
  """Returns the recording without these episodes, which it lists then."""
  present = set(found.episodes.tolist())
  added = [x for x in bad if x.episode in present]
  left = subset.without(found, [x.episode for x in added])
  everything = sorted((*found.skipped, *added), key=lambda x: x.episode)
  return dataclasses.replace(left, skipped=tuple(everything))


def undecodable(
  found: base.Recording, cameras: Sequence[str]
) -> tuple[base.Skipped, ...]:
  """Reads every picture of the cameras; returns episodes where one is broken.

  Papers tell of files that are cut short; a broken picture within a file shows
  only when it is decoded.
  """
  images = found.open_images(cameras)
  starts = found.first_frames

  def check(index: int) -> base.Skipped | None:
    first, length = int(starts[index]), int(found.lengths[index])
    try:
      for start in range(first, first + length, _FRAMES):
        images.read(np.arange(start, min(start + _FRAMES, first + length)))
    except errors.UserError as error:
      return base.Skipped(int(found.episodes[index]), str(error))
    return None

  count, broken = len(found.lengths), []
  workers = min(count, os.cpu_count() or 1)
  with (
    progress.bar("looking", count) as bar,
    concurrent.futures.ThreadPoolExecutor(workers) as pool,
  ):
    for done, bad in enumerate(pool.map(check, range(count)), 1):
      broken += [bad] if bad else []
      bar.update(done, "episodes, every picture")
  return tuple(broken)
