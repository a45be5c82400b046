"""Whether a robot's cameras are plugged in as the policy was trained.

    frames = {"images/top": top, "images/wrist": wrist}  # live, uint8
    found = cameras.compare(path, frames)
    if found.swapped:
      print(found)

A live picture is compared with the reference frames of every camera; the
nearest should be its own camera's. Numbers are mean absolute differences of
small grey pictures, whose mean and spread were taken out, so that light and
exposure matter little. This is a soft signal: who stands before a camera, or
another scene, moves it too.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping

import numpy as np

from carnet import errors
from carnet.passport import context, contract, reference_data

_SIDE = 16  # pixels that are compared; details move, layouts stay
# another camera must be nearer by this part, or noise decides
_CLEARLY = 0.9


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Live cameras against recorded ones.

  Attributes:
    cameras: names, for rows and columns.
    matrix: [live, recorded], the distance to the nearest reference frame.
    nearest: recorded camera of each live one.
  """

  cameras: tuple[str, ...]
  matrix: np.ndarray
  nearest: tuple[str, ...]

  @property
  def swapped(self) -> tuple[tuple[str, str], ...]:
    """(live, recorded) where another camera's frames are clearly nearer."""
    return tuple(
      (live, near)
      for index, (live, near) in enumerate(
        zip(self.cameras, self.nearest, strict=True)
      )
      if live != near
      and self.matrix[index].min() < _CLEARLY * self.matrix[index, index]
    )

  def __str__(self) -> str:
    """Returns a line a camera."""
    wrong = dict(self.swapped)
    rows = []
    for index, name in enumerate(self.cameras):
      distances = ", ".join(
        f"{other} {self.matrix[index, place]:.3f}"
        for place, other in enumerate(self.cameras)
      )
      hint = f"  <- looks like {wrong[name]}" if name in wrong else ""
      rows.append(f"{name}: {distances}{hint}")
    return "\n".join(rows)


def compare(path: pathlib.Path, live: Mapping[str, np.ndarray]) -> Comparison:
  """Returns how live pictures compare with a checkpoint's reference frames.

  Args:
    path: the checkpoint, whose passport has been validated.
    live: pictures, [H, W, C], by the contract's image keys, or short keys.

  Raises:
    UserError: a camera is unknown or missing, or there are no reference frames.
  """
  found = context.Context(path)
  needed = found.passport.input_contract
  vector = found.passport.reference_test_vector
  if needed is None or vector is None or not needed.images:
    raise errors.UserError(f"{path} has no reference frames")
  recorded = {
    image.key: reference_data.frames(found, vector, image)
    for image in needed.images
  }
  return of_frames(_named(needed.images, live), recorded)


def of_frames(
  live: Mapping[str, np.ndarray], recorded: Mapping[str, np.ndarray]
) -> Comparison:
  """Returns how live pictures compare with frames of the same cameras.

  Args:
    live: a picture, [H, W, C], by camera.
    recorded: frames, [F, H, W, C], by camera.
  """
  names = tuple(recorded)
  if set(names) != set(live):
    raise errors.UserError(
      f"live pictures are of {', '.join(sorted(live)) or 'none'}, expected "
      f"{', '.join(sorted(names))}"
    )
  known = {
    name: [_layout(x) for x in frames] for name, frames in recorded.items()
  }
  matrix = np.asarray(
    [
      [_nearest(_layout(live[name]), known[other]) for other in names]
      for name in names
    ]
  )
  nearest = tuple(names[int(index)] for index in matrix.argmin(axis=1))
  return Comparison(names, matrix, nearest)


def _named(
  images: tuple[contract.Image, ...], live: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  names = {
    x: image.key for image in images for x in (image.short_key, image.key)
  }
  for name in live:
    if name not in names:
      raise errors.unknown("camera", name, (image.key for image in images))
  return {names[name]: frame for name, frame in live.items()}


def _nearest(one: np.ndarray, others: list[np.ndarray]) -> float:
  return min(float(np.abs(one - other).mean()) for other in others)


def _layout(picture: np.ndarray) -> np.ndarray:
  """Returns a small grey picture of mean 0 and spread 1."""
  grey = np.asarray(picture, np.float64).mean(axis=2)
  if not grey.size:
    raise errors.UserError("a live picture is empty")
  for axis in (0, 1):
    edges = np.linspace(0, grey.shape[axis], _SIDE + 1).astype(int)
    grey = np.stack(
      [
        grey.take(range(low, max(high, low + 1)), axis=axis, mode="clip").mean(
          axis=axis
        )
        for low, high in itertools.pairwise(edges)
      ],
      axis=axis,
    )
  spread = grey.std()
  return (grey - grey.mean()) / (spread if spread > 0 else 1.0)
