"""What a caching worker does: one episode into one shard, and checks it."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from act import image_codec, storage
from act.recordings import base, caching_check, episode_reader
from carnet import errors


@dataclasses.dataclass
class Repacker(episode_reader.EpisodeReader):
  """Repacks episodes into `work_directory`."""

  work_directory: pathlib.Path = pathlib.Path()
  quality: int = image_codec.JPEG_QUALITY

  def work(self, index: int) -> None:
    """Writes the shard and the facts of an episode, or why there are none.

    Raises:
      UserError: the source is unsound, and that is not to be skipped.
    """
    found = self.opened()
    number = int(found.episodes[index])
    path = facts_path(self.work_directory, number)
    try:
      facts = self._repack(found, index, number)
    except episode_reader.Unsound as error:
      if not self.options.skip_bad:
        raise errors.UserError(str(error)) from error
      facts = {"reason": np.asarray(str(error))}
    # The facts follow the shard: an episode counts once they are here.
    storage.write_arrays(path, facts)

  def _repack(
    self, found: base.Recording, index: int, number: int
  ) -> dict[str, np.ndarray]:
    frames = self.frames(index)
    with storage.atomic(shard_path(self.work_directory, number)) as shard:
      facts = self._write(shard, found, number, frames)
      for part, images in self.pictures(frames):
        caching_check.check(
          shard, part - frames[0], images, rows(found, part), self.quality
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
      shard, number, encodings(found), vectors, self.quality, counted=1
    )
    try:
      for part, images in self.pictures(frames):
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
