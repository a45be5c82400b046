"""A recording in memory, with the names that other formats have."""

import os
import pathlib

import numpy as np

from act.recordings import base, opening
from carnet import errors

LENGTHS = (12, 2, 6)
EPISODES = (3, 4, 9)
SIZES = {"observation.images.top": (128, 160), "a/b": (32, 48)}


def scene(frame: int, height: int, width: int) -> np.ndarray:
  rows, columns = np.mgrid[:height, :width]
  red = 128 + 90 * np.sin(columns / 20 + frame)
  green = 128 + 80 * np.cos(rows / 15 + frame / 3)
  blue = 60 + rows / height * 60 + 4 * frame
  image = np.stack([red, green, blue], -1)
  image += np.random.default_rng(frame).normal(0, 3, image.shape)
  return np.clip(image, 0, 255).astype(np.uint8)


class Images:
  """Reads nothing of the episode that begins at frame `broken`."""

  def __init__(self, cameras, broken=None):
    self._cameras = cameras
    self._broken = broken

  def read(self, frames):
    if self._broken is not None and self._broken in frames:
      raise errors.UserError(f"frame {self._broken}: cut short")
    return {
      name: np.stack([scene(frame, *SIZES[name]) for frame in frames.tolist()])
      for name in self._cameras
    }


def make(path: pathlib.Path, **changes) -> base.Recording:
  rng = np.random.default_rng(0)
  frames = sum(LENGTHS)
  broken = changes.pop("broken", None)
  values = {
    "observation.state": rng.normal(size=(frames, 3)),
    "action": rng.normal(size=(frames, 2)),
    "x/y": rng.normal(size=(frames, 1)),
  }
  vectors = {
    name: base.Vector(value.astype(np.float32))
    for name, value in values.items()
  }
  vectors["action"] = base.Vector(vectors["action"].values, ("left", "right"))
  facts = {
    "origin": "fake",
    "path": path,
    "identity": "user/some-name.v2",
    "format": "numbers",
    "revision": "r1",
    "fps": 30.0,
    "cameras": {name: base.Camera(*size) for name, size in SIZES.items()},
    "vectors": vectors,
    "lengths": np.array(LENGTHS),
    "episodes": np.array(EPISODES),
    "tasks": ("put it in", "", "put it in"),
    "statistics": {"action": {"mean": [5.0, 6.0], "q50": [1.0, float("nan")]}},
    "skipped": (base.Skipped(5, "no video"),),
    "details": {"robot_type": "so101", "odd": float("inf")},
    "open_images": lambda cameras: Images(cameras, broken),
  }
  return base.Recording(**facts | changes)


def install(monkeypatch, recording: base.Recording) -> None:
  """Makes every origin open it, in this process."""
  monkeypatch.setattr(opening, "open", _Open(recording))


class _Open:
  def __init__(self, recording):
    self._recording = recording
    self._open = opening.open

  def __call__(self, origin, options=None):
    if origin == "fake":
      return self._recording
    return self._open(origin, options)


class Dying:
  """A worker that takes its process down."""

  def stop_when(self, should_stop):
    pass

  def probe(self):
    pass

  def work(self, index):
    os._exit(9)
