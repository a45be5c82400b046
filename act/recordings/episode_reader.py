"""What a worker reads with: one recording, opened once, episode by episode."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from act import pool
from act.recordings import base, opening
from carnet import errors

_CHUNK_BYTES = 128 * 2**20  # of pictures in memory


class Unsound(Exception):
  """The source cannot give this episode."""


@dataclasses.dataclass
class EpisodeReader:
  """Reads the recording at `origin`; picklable, and opens it where it is."""

  origin: str
  options: base.Options
  _should_stop: Callable[[], bool] | None = None
  _recording: base.Recording | None = None
  _images: base.Images | None = None

  def stop_when(self, should_stop: Callable[[], bool]) -> None:
    """Says what to ask between frames."""
    self._should_stop = should_stop

  def probe(self) -> None:
    """Opens the recording."""
    self.opened()

  def opened(self) -> base.Recording:
    """Returns the recording."""
    if self._recording is None:
      self._recording = opening.open(self.origin, self.options)
      self._images = self._recording.open_images(tuple(self._recording.cameras))
    return self._recording

  def frames(self, index: int) -> np.ndarray:
    """Returns the numbers of an episode's frames."""
    found = self.opened()
    first = int(found.first_frames[index])
    return np.arange(first, first + int(found.lengths[index]))

  def pictures(
    self, frames: np.ndarray
  ) -> Iterator[tuple[np.ndarray, dict[str, UInt8[np.ndarray, "B H W 3"]]]]:
    """Yields some frames and the images of each camera, again and again.

    Raises:
      Stopped: somebody asked for it.
      Unsound: the source is.
    """
    found = self.opened()
    sizes = (3 * c.height * c.width for c in found.cameras.values())
    step = max(1, _CHUNK_BYTES // max(1, sum(sizes)))
    for start in range(0, len(frames), step):
      if self._should_stop is not None and self._should_stop():
        raise pool.Stopped
      part = frames[start : start + step]
      assert self._images is not None
      try:
        images = self._images.read(part)
      except errors.UserError as error:
        raise Unsound(str(error)) from error
      yield part, images

  def __getstate__(self) -> dict[str, Any]:
    closed = ("_recording", "_images", "_should_stop")
    return self.__dict__ | dict.fromkeys(closed)
