"""A recording of numbers, without any file."""

import pathlib
from typing import Any

import numpy as np

from act.recordings import base, opening

LENGTHS = (7, 5, 6)
CAMERAS = {
  "observation.images.top": base.Camera(24, 32),
  "observation.images.left": base.Camera(32, 24),
}


class Images:
  """Pictures whose pixels are the number of the frame."""

  def __init__(self, names: tuple[str, ...]) -> None:
    self.names = names

  def read(self, frames: np.ndarray) -> dict[str, np.ndarray]:
    found = {}
    for name in self.names:
      size = CAMERAS[name]
      shape = (len(frames), size.height, size.width, 3)
      found[name] = np.empty(shape, np.uint8)
      found[name][...] = frames.reshape(-1, 1, 1, 1).astype(np.uint8)
    return found


def recording(**changes: Any) -> base.Recording:
  """Returns 3 episodes, numbered 0, 2 and 3, of two cameras."""
  random = np.random.default_rng(0)
  frames = sum(LENGTHS)

  def vector(size: int, *names: str) -> base.Vector:
    values = random.normal(size=(frames, size)).astype(np.float32)
    return base.Vector(values, names)

  vectors = {
    "observation.state": vector(3, "lift", "turn", "grip"),
    "observation.environment_state": vector(2),
    "action": vector(3, "lift", "turn", "grip"),
  }
  given: dict[str, Any] = {
    "origin": "lerobot:numbers",
    "path": pathlib.Path("numbers"),
    "identity": "numbers",
    "format": "LeRobotDataset v3.0",
    "revision": "0" * 64,
    "fps": 10.0,
    "cameras": CAMERAS,
    "vectors": vectors,
    "lengths": np.array(LENGTHS, np.int64),
    "episodes": np.array([0, 2, 3], np.int64),
    "tasks": ("push", "push", "lift"),
    "statistics": {"observation.images.top": {"mean": [0.5] * 3}},
    "skipped": (base.Skipped(1, "file-000.parquet: NaN in the state"),),
    "details": {"robot_type": "sim"},
    "open_images": lambda names: Images(tuple(names)),
  }
  return base.Recording(**(given | changes))


def install(monkeypatch: Any) -> None:
  """Makes every origin open it, in this process."""
  monkeypatch.setattr(opening, "open", lambda origin, options=None: recording())
