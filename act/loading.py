"""The Grain pipeline, apart from `act.dataset` because Grain imports JAX."""

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import grain
import numpy as np
from absl import flags
from jaxtyping import Int

from act import sampling

if TYPE_CHECKING:
  from act import dataset as dataset_lib


@dataclasses.dataclass(frozen=True)
class Load:
  """Turns the frames that a batch starts at into the batch."""

  dataset: "dataset_lib.Dataset"
  chunk_size: int

  def __call__(self, frames: Int[np.ndarray, " B"]) -> dict[str, Any]:
    """Returns the batch; see `Dataset.batch`."""
    return self.dataset.batch(frames, self.chunk_size)


def make_iterator(
  starts: sampling.Starts, load: Load, workers: int
) -> grain.DatasetIterator:
  """Returns the iterator over the batches that start there."""
  # Batches are read ahead by as many threads as there are cores.
  threads = min(16, os.cpu_count() or 1)
  options = grain.ReadOptions(
    num_threads=threads, prefetch_buffer_size=max(4, threads)
  )
  batches = grain.MapDataset.source(starts).map(load).to_iter_dataset(options)
  if workers:
    # Grain reads its flags outside absl.app too (google/grain issue 1355).
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()
    batches = batches.mp_prefetch(
      grain.MultiprocessingOptions(
        num_workers=workers, per_worker_buffer_size=2
      )
    )
  return iter(batches)
