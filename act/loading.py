"""The parts of the data pipeline that Grain calls."""

import dataclasses
from typing import TYPE_CHECKING, Any

import grain
import numpy as np
from absl import flags
from jaxtyping import Int

if TYPE_CHECKING:
  from act import dataset as dataset_lib


@dataclasses.dataclass(frozen=True)
class Load:
  """Turns the frames a batch starts at into the batch."""

  dataset: "dataset_lib.Dataset"
  chunk_size: int

  def __call__(self, frames: Int[np.ndarray, " B"]) -> dict[str, Any]:
    """Returns the batch."""
    return self.dataset.batch(frames, self.chunk_size)


def frame_indices(
  dataset: "dataset_lib.Dataset",
  episode_ids: tuple[int, ...],
  sampling: str,
  seed: int,
) -> grain.MapDataset:
  """Returns the endless, shuffled sequence of frames that samples start at."""
  ids = np.asarray(episode_ids)
  firsts, lengths = dataset.first_frames[ids], dataset.lengths[ids]
  if sampling == "frames":
    frames = np.concatenate(
      [f + np.arange(n) for f, n in zip(firsts, lengths, strict=True)]
    )
    shuffled = grain.MapDataset.range(len(frames)).seed(seed).shuffle()
    return shuffled.repeat().map(lambda i: frames[i])

  def start(episode: int, rng: np.random.Generator) -> np.int64:
    return firsts[episode] + rng.integers(lengths[episode])

  shuffled = grain.MapDataset.range(len(ids)).seed(seed).shuffle()
  # Grain's generator depends on the position in the endless sequence, so an
  # episode starts elsewhere in every epoch.
  return shuffled.repeat().random_map(start)


def mark_flags_parsed() -> None:
  """Lets Grain read its flags outside absl.app (google/grain issue 1355)."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
