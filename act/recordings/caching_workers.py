"""What a caching worker does: one episode into one shard, and checks it."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from act import image_codec, storage
from act.recordings import base, caching_check, opening, pool
from carnet import errors

_CHUNK_BYTES = 128 * 2**20  # of pictures in memory


class Unsound(Exception):
  """The source cannot give this episode."""


@dataclasses.dataclass
class Repacker:
  """Repacks episodes of the recording at `origin` into `work_directory`."""

  origin: str
  options: base.Options
  work_directory: pathlib.Path
  quality: int
  _should_stop: Callable[[], bool] | None = None
  _recording: base.Recording | None = None
  _images: base.Images | None = None

  def stop_when(self, should_stop: Callable[[], bool]) -> None:
    """Says what to ask between frames."""
    self._should_stop = should_stop

  def probe(self) -> None:
    """Opens the recording."""
    self._opened()

  def work(self, index: int) -> None:
    """Writes the shard and the facts of an episode, or why there are none.

    Raises:
      UserError: the source is unsound, and that is not to be skipped.
    """
    found = self._opened()
    number = int(found.episodes[index])
    path = facts_path(self.work_directory, number)
    try:
      facts = self._repack(found, index, number)
    except Unsound as error:
      if not self.options.skip_bad:
        raise errors.UserError(str(error)) from error
      facts = {"reason": np.asarray(str(error))}
    # The facts follow the shard: an episode counts once they are here.
    storage.write_arrays(path, facts)

  def _repack(
    self, found: base.Recording, index: int, number: int
  ) -> dict[str, np.ndarray]:
    first = int(found.first_frames[index])
    frames = np.arange(first, first + int(found.lengths[index]))
    with storage.atomic(shard_path(self.work_directory, number)) as shard:
      facts = self._write(shard, found, number, frames)
      for part, images in self._pictures(found, frames):
        caching_check.check(
          shard, part - first, images, rows(found, part), self.quality
        )
      facts |= {k: np.asarray(v) for k, v in storage.digest(shard).items()}
    return facts

  def _write(
    self,
    shard: pathlib.Path,
    found: base.Recording,
    number: int,
    frames: np.ndarray,
  ) -> dict[str, np.ndarray]:
    from act import episode_writer  # array_record, which the main can spare

    vectors = [f"vectors/{name}" for name in found.vectors]
    writer = episode_writer.EpisodeWriter(
      shard, number, encodings(found), vectors, self.quality
    )
    try:
      for part, images in self._pictures(found, frames):
        values = rows(found, part)
        for row, frame in enumerate(part):
          writer.add(
            {name: pixels[row] for name, pixels in images.items()},
            {name: matrix[row] for name, matrix in values.items()},
            is_first=bool(frame == frames[0]),
            is_last=bool(frame == frames[-1]),
            is_terminal=False,
          )
    finally:
      facts = writer.close()
    return {k: v for k, v in facts.items() if k.startswith("counts/")}

  def _pictures(
    self, found: base.Recording, frames: np.ndarray
  ) -> Iterator[tuple[np.ndarray, dict[str, UInt8[np.ndarray, "B H W 3"]]]]:
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

  def _opened(self) -> base.Recording:
    if self._recording is None:
      self._recording = opening.open(self.origin, self.options)
      self._images = self._recording.open_images(tuple(self._recording.cameras))
    return self._recording

  def __getstate__(self) -> dict[str, Any]:
    closed = ("_recording", "_images", "_should_stop")
    return self.__dict__ | dict.fromkeys(closed)


def encodings(found: base.Recording) -> dict[str, image_codec.Encoding]:
  """Returns how the pictures of each camera are stored."""
  return {
    name: image_codec.choose(camera.height, camera.width)
    for name, camera in found.cameras.items()
  }


def rows(
  found: base.Recording, frames: np.ndarray | Sequence[int]
) -> Mapping[str, np.ndarray]:
  """Returns the vectors of some frames by their names in a record."""
  return {
    f"vectors/{name}": vector.values[frames]
    for name, vector in found.vectors.items()
  }


def shard_path(work: pathlib.Path, number: int) -> pathlib.Path:
  """Returns where a shard lies until all are there."""
  return work / f"episode-{number:06d}.array_record"


def facts_path(work: pathlib.Path, number: int) -> pathlib.Path:
  """Returns where the facts of an episode are kept while caching."""
  return work / f"episode-{number:06d}.npz"
