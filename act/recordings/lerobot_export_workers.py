"""What an exporting worker does: the videos of one episode, and their check."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from act import statistics, storage
from act.recordings import (
  base,
  caching_check,
  episode_reader,
  lerobot_statistics,
)
from act.recordings import lerobot_video_writer as videos
from carnet import errors

# Of pictures shrunk 16-fold, in dB: an error of 25 of 255 levels. What
# crf 30 does to fine noise stays above it, another scene is below.
_FLOOR = 20.0


@dataclasses.dataclass
class Exporter(episode_reader.EpisodeReader):
  """Encodes episodes into `work_directory`."""

  work_directory: pathlib.Path = pathlib.Path()
  codec: str = "av1"
  fps: int = 30

  def work(self, index: int) -> None:
    """Writes the videos and the facts of an episode, or why there are none.

    Raises:
      UserError: the source is unsound, and that is not to be skipped.
    """
    found = self.opened()
    number = int(found.episodes[index])
    try:
      facts = self._encode(found, index, number)
      self._check(found, index, number)
    except episode_reader.Unsound as error:
      if not self.options.skip_bad:
        raise errors.UserError(str(error)) from error
      facts = {"reason": np.asarray(str(error))}
    # The facts follow the videos: an episode counts once they are here.
    storage.write_arrays(facts_path(self.work_directory, number), facts)

  def _encode(
    self, found: base.Recording, index: int, number: int
  ) -> dict[str, np.ndarray]:
    counts = {name: np.zeros((3, 256), np.int64) for name in found.cameras}
    counted = set(lerobot_statistics.sampled(int(found.lengths[index])))
    with contextlib.ExitStack() as stack:
      writers = {
        name: self._writer(stack, camera, number, order)
        for order, (name, camera) in enumerate(found.cameras.items())
      }
      for frame, images in self._frames(index):
        for name, writer in writers.items():
          writer.add(images[name])
          if frame in counted:
            counts[name] += statistics.count(images[name])
      for writer in writers.values():
        writer.finish()
    return {f"counts/{name}": count for name, count in counts.items()}

  def _writer(
    self,
    stack: contextlib.ExitStack,
    camera: base.Camera,
    number: int,
    order: int,
  ) -> videos.VideoWriter:
    """Returns a writer; its video is there once `stack` is left in peace."""
    path = video_path(self.work_directory, number, order)
    temporary = stack.enter_context(storage.atomic(path))
    writer = videos.VideoWriter(
      temporary, self.codec, self.fps, camera.height, camera.width
    )
    stack.enter_context(contextlib.closing(writer))
    return writer

  def _check(self, found: base.Recording, index: int, number: int) -> None:
    decoded = {
      name: videos.decode(
        video_path(self.work_directory, number, order), self.fps
      )
      for order, name in enumerate(found.cameras)
    }
    for frame, images in self._frames(index):
      for name, source in images.items():
        pixels = next(decoded[name], None)
        if pixels is None or caching_check.psnr(pixels, source) < _FLOOR:
          raise RuntimeError(
            f"{self.work_directory}: frame {frame} of episode {number}, camera "
            f"'{name}', is not in its video: report this, with the data"
          )
    for name, rest in decoded.items():
      if next(rest, None) is not None:
        raise RuntimeError(f"the video of '{name}' is longer than its episode")

  def _frames(
    self, index: int
  ) -> Iterator[tuple[int, dict[str, UInt8[np.ndarray, "H W 3"]]]]:
    frames = self.frames(index)
    for part, images in self.pictures(frames):
      for row, frame in enumerate((part - frames[0]).tolist()):
        yield frame, {name: pixels[row] for name, pixels in images.items()}


def video_path(work: pathlib.Path, number: int, camera: int) -> pathlib.Path:
  """Returns where the video of an episode lies until all are there."""
  return work / f"episode-{number:06d}-{camera}.mp4"


def facts_path(work: pathlib.Path, number: int) -> pathlib.Path:
  """Returns where the facts of an episode are kept while exporting."""
  return work / f"episode-{number:06d}.npz"
