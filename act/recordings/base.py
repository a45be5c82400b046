"""Demonstrations as somebody recorded them, whatever the format.

A recording calls its cameras and vectors as its files do; `act.dataset` gives
them the names of the policy. Vectors are in memory, pictures are read when
asked for. Frames are numbered over the episodes in use, one after the other.

This package imports no JAX.

Letters: B frames asked for, D dimensions, E episodes, F frames, H, W image.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8


@dataclasses.dataclass(frozen=True)
class Options:
  """What to open of a recording.

  Attributes:
    cameras: whose pictures must be there, by names in the data; None is all
      of them. Names that the data lack are ignored here, and a `Recording`
      lists every camera all the same: `act.recordings.naming` refuses.
    episodes: use the first so many; 0 is all.
    skip_bad: leave unsound episodes out and list them, instead of an error.
  """

  cameras: tuple[str, ...] | None = None
  episodes: int = 0
  skip_bad: bool = False


@dataclasses.dataclass(frozen=True)
class Camera:
  """Size of the pictures of one camera, in pixels."""

  height: int
  width: int


@dataclasses.dataclass(frozen=True)
class Vector:
  """One value a frame; `names` of its dimensions are () where unknown."""

  values: Float[np.ndarray, "F D"]  # float32
  names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Skipped:
  """An episode that was left out, by the number it has in the data."""

  episode: int
  reason: str


@runtime_checkable
class Images(Protocol):
  """Reads pictures by frame; picklable, safe to use from several threads."""

  def read(
    self, frames: Int[np.ndarray, " B"]
  ) -> dict[str, UInt8[np.ndarray, "B H W 3"]]:
    """Returns the images of each camera; UserError names file and episode."""


@dataclasses.dataclass(frozen=True)
class Recording:
  """Opened demonstrations.

  Attributes:
    origin: what opens it again: "lerobot:data/so101", with the resolved commit
      where it comes from a hub.
    path: the directory, or the file, that holds it.
    identity: its name in a passport: "user/name", or that of the directory.
    format: for people: "LeRobotDataset v3.0".
    revision: commit of the hub, or a digest of the content.
    fps: frames a second; None where the data do not tell.
    cameras: by the name in the data, in the order of the data.
    vectors: by the name in the data; "action" is one of them as a rule.
    lengths: frames of each episode in use.
    episodes: the number that the data give to each of them.
    tasks: what is done in each of them; "" where the data do not tell.
    statistics: stored with the data: feature -> name -> flat list of numbers
      (images in 0..1); empty where there are none.
    skipped: unsound episodes, left out.
    details: anything else worth keeping, as JSON values.
    open_images: returns the reader of the named cameras.
  """

  origin: str
  path: pathlib.Path
  identity: str
  format: str
  revision: str | None
  fps: float | None
  cameras: Mapping[str, Camera]
  vectors: Mapping[str, Vector]
  lengths: Int[np.ndarray, " E"]
  episodes: Int[np.ndarray, " E"]
  tasks: tuple[str, ...]
  statistics: Mapping[str, Mapping[str, list[float]]]
  skipped: tuple[Skipped, ...]
  details: dict[str, Any]
  open_images: Callable[[Sequence[str]], Images]

  @property
  def first_frames(self) -> Int[np.ndarray, " E"]:
    """Returns where each episode starts."""
    return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

  @property
  def num_frames(self) -> int:
    """Returns how many frames all episodes in use have."""
    return int(self.lengths.sum())
