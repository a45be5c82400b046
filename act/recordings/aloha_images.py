"""Pictures in the episodes of the original ACT, frame by frame.

Letters: B frames asked for, E episodes, H, W image.
"""

import collections
import hashlib
import io
import math
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from act import reopening
from act.recordings import hdf5_file, remedy
from carnet import errors

GROUP = "observations/images"
_OPEN_FILES = 64
_LARGEST_PIXELS = 2**26


class Stored(NamedTuple):
  """How the pictures of a camera are stored."""

  height: int
  width: int
  jpeg: bool

  def __str__(self) -> str:
    return f"{self.height}x{self.width}{' JPEG' if self.jpeg else ''}"


def examine(opened: Any, name: str, length: int) -> tuple[Stored, bytes]:
  """Returns how a camera is stored, and a digest of its first and last picture.

  Raises:
    ValueError: they are not `length` pictures.
  """
  dataset = hdf5_file.find(opened, f"{GROUP}/{name}")
  if dataset is None or dataset.dtype != np.uint8:
    raise ValueError(f"camera '{name}' holds no uint8")
  if not dataset.shape or len(dataset) != length:
    shape = dataset.shape
    raise ValueError(f"camera '{name}' has shape {shape}, {length} frames else")
  if math.prod(dataset.shape[1:]) > 3 * _LARGEST_PIXELS:
    raise ValueError(f"camera '{name}' has shape {dataset.shape}: too large")
  digest = hashlib.sha256()
  for frame in (0, length - 1):
    digest.update(dataset[frame].tobytes())
  if dataset.ndim == 4 and dataset.shape[3] == 3:
    _, height, width, _ = dataset.shape
    return Stored(height, width, False), digest.digest()
  if dataset.ndim != 2:
    raise ValueError(f"camera '{name}' has shape {dataset.shape}")
  height, width = _decode(dataset[0]).shape[:2]
  return Stored(height, width, True), digest.digest()


class Reader(reopening.Reopening):
  """Reads frames by number; picklable, safe to use from several threads."""

  made = ("_files", "_lock")

  def __init__(
    self,
    paths: Sequence[pathlib.Path],
    episodes: Sequence[int],
    lengths: Int[np.ndarray, " E"],
    cameras: Mapping[str, Stored],
  ):
    self._paths, self._episodes = tuple(paths), tuple(episodes)
    self._ends = np.cumsum(lengths)
    self._starts = self._ends - lengths
    self._cameras = dict(cameras)
    self._open()

  def read(
    self, frames: Int[np.ndarray, " B"]
  ) -> dict[str, UInt8[np.ndarray, "B H W 3"]]:
    """Returns the images of each camera; UserError names file and episode."""
    out = {
      name: np.empty((len(frames), x.height, x.width, 3), np.uint8)
      for name, x in self._cameras.items()
    }
    episodes = np.searchsorted(self._ends, frames, side="right")
    for row, (frame, episode) in enumerate(zip(frames, episodes, strict=True)):
      position = int(frame - self._starts[episode])
      for name, stored in self._cameras.items():
        self._read(int(episode), name, stored, position, out[name][row])
    return out

  def _open(self) -> None:
    self._lock = threading.Lock()
    self._files: collections.OrderedDict[int, Any] = collections.OrderedDict()

  def _read(
    self,
    episode: int,
    name: str,
    stored: Stored,
    position: int,
    out: np.ndarray,
  ) -> None:
    try:
      with self._lock:  # HDF5 has one lock for all; decoding is outside of it
        dataset = hdf5_file.find(self._file(episode), f"{GROUP}/{name}")
        picture = dataset[position]
      if stored.jpeg:
        picture = _decode(picture)
      if picture.shape != out.shape:
        raise ValueError(f"shape {picture.shape}, elsewhere {out.shape}")
      out[...] = picture
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
      raise errors.UserError(
        f"{self._paths[episode]} (episode {self._episodes[episode]}): camera "
        f"'{name}', frame {position}: unreadable ({error}): "
        f"{remedy.exclude(self._episodes[episode])}"
      ) from error

  def _file(self, episode: int) -> Any:
    if episode in self._files:
      self._files.move_to_end(episode)
      return self._files[episode]
    if len(self._files) >= _OPEN_FILES:
      self._files.popitem(last=False)[1].close()
    self._files[episode] = hdf5_file.open_file(self._paths[episode])
    return self._files[episode]


def _decode(row: np.ndarray) -> np.ndarray:
  """Returns the picture of a JPEG as cv2 gives it: BGR, so that RGB is back."""
  try:
    with Image.open(io.BytesIO(row.tobytes()), formats=("JPEG",)) as image:
      if image.width * image.height > _LARGEST_PIXELS:
        raise ValueError(f"a JPEG of {image.size} pixels: too large")
      return np.asarray(image.convert("RGB"))[:, :, ::-1]
  except (OSError, SyntaxError, Image.DecompressionBombError) as error:
    reason = remedy.cause(error)
    raise ValueError(f"corrupt JPEG ({reason})") from error
