"""Demonstrations as batches of an observation and the actions that follow.

States and actions stay in memory (45 kB an episode); of a sample only the
image is read. A chunk that runs over the end of its episode repeats the last
action, as LeRobot does, and is marked in `is_pad`; the loss and the network
never look there. Values are raw: normalisation happens on the device.

This module imports no JAX. Grain does, so `make_iterator` imports it late.

Letters: B batch, K chunk, A action, Q state, E episodes, F frames, H, W image.
"""

import atexit
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from act import features as features_lib
from act import image_reader, statistics, storage
from act import sampling as sampling_lib
from carnet import errors

STATES = ("qpos", "qvel")
SAMPLINGS = sampling_lib.SAMPLINGS


@dataclasses.dataclass(frozen=True)
class Dataset:
  """An opened dataset; `open` makes it."""

  path: pathlib.Path
  features: features_lib.Features
  statistics: dict[str, statistics.Block]
  metadata: dict[str, Any]
  lengths: Int[np.ndarray, " E"]
  first_frames: Int[np.ndarray, " E"]
  state: Float[np.ndarray, "F Q"]
  actions: Float[np.ndarray, "F A"]
  images: image_reader.ImageReader

  @property
  def num_episodes(self) -> int:
    """How many episodes are in use."""
    return len(self.lengths)

  @property
  def num_frames(self) -> int:
    """How many time steps these episodes have."""
    return int(self.lengths.sum())

  def batch(
    self, frames: Int[np.ndarray, " B"], chunk_size: int
  ) -> dict[str, Any]:
    """Returns images {camera: uint8 [B, H, W, 3]}, state, actions, is_pad."""
    episodes = np.searchsorted(self.first_frames, frames, side="right") - 1
    ends = self.first_frames[episodes] + self.lengths[episodes]
    wanted = frames[:, None] + np.arange(chunk_size)  # [B, K]
    last = ends[:, None] - 1
    out = {
      "images": self.images.read(frames),
      "actions": self.actions[np.minimum(wanted, last)],
      "is_pad": wanted > last,
    }
    if self.features.state_size:
      out["state"] = self.state[frames]
    return out


def open(
  path: str | os.PathLike[str],
  cameras: Sequence[str],
  state: str = "qpos",
  episodes: int = 0,
) -> Dataset:
  """Opens the demonstrations in a directory; UserError when they are unfit.

  `state` is "qpos", "qvel" or "" for none; `episodes` takes only the first so
  many, 0 all. Sizes of files are checked, `storage.verify` checks digests.
  """
  root = pathlib.Path(path)
  if not os.fspath(path):
    raise errors.UserError(
      "config.dataset.path is empty: set it to a directory that "
      "scripts/collect_demos.py wrote"
    )
  metadata = storage.read_metadata(root)
  try:
    return _open(root, metadata, tuple(cameras), state, episodes)
  except (
    *(AttributeError, IndexError, KeyError),
    *(OverflowError, TypeError, ValueError),
  ) as error:
    raise errors.UserError(
      f"{root / storage.METADATA_FILE}: damaged ({error!r}): delete the "
      "directory and collect the demonstrations again"
    ) from error


def split(
  num_episodes: int, validation_fraction: float, seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """Returns the training and the validation episodes, disjoint and sorted."""
  if not 0 <= validation_fraction < 1:
    raise errors.UserError(
      f"config.dataset.validation_fraction={validation_fraction}: 0 to below 1"
    )
  count = round(validation_fraction * num_episodes)
  if validation_fraction > 0:
    count = max(count, 1)
  if count >= num_episodes:
    raise errors.UserError(
      f"config.dataset.validation_fraction={validation_fraction} leaves none "
      f"of {num_episodes} episodes to train on: use more episodes, or 0"
    )
  order = np.random.default_rng(seed).permutation(num_episodes).tolist()
  return tuple(sorted(order[count:])), tuple(sorted(order[:count]))


def make_iterator(
  dataset: Dataset,
  episode_ids: Sequence[int],
  sampling: str,
  batch_size: int,
  chunk_size: int,
  seed: int,
  workers: int = 0,
) -> Any:
  """Returns an endless Grain iterator of batches, the same for the same seed.

  "frames" starts at every frame of every episode once an epoch, "episodes" at
  one random frame of each. `workers` are processes, 0 reads in threads here.
  `get_state()` is JSON-able, and `set_state` goes on exactly there.
  """
  _check_sampling(episode_ids, sampling, batch_size, chunk_size, workers)
  from act import loading  # Grain imports jax

  ids = np.asarray(episode_ids)
  starts = sampling_lib.Starts(
    dataset.first_frames[ids], dataset.lengths[ids], sampling, batch_size, seed
  )
  iterator = loading.make_iterator(
    starts, loading.Load(dataset, chunk_size), workers
  )
  # Otherwise its threads and processes complain while the interpreter ends.
  atexit.register(iterator.close)
  return iterator


def _check_sampling(
  episode_ids: Sequence[int],
  sampling: str,
  batch_size: int,
  chunk_size: int,
  workers: int,
) -> None:
  if sampling not in SAMPLINGS:
    raise errors.unknown("config.dataset.sampling", sampling, SAMPLINGS)
  for name, value in (("batch_size", batch_size), ("chunk_size", chunk_size)):
    if value < 1:
      raise errors.UserError(f"{name}={value}: at least 1")
  if workers < 0:
    raise errors.UserError(f"config.dataset.workers={workers}: at least 0")
  if not episode_ids:
    raise errors.UserError(
      "this split has no episodes: change config.dataset.validation_fraction"
    )


def _open(
  root: pathlib.Path,
  metadata: dict[str, Any],
  cameras: tuple[str, ...],
  state: str,
  episodes: int,
) -> Dataset:
  known = metadata["cameras"]
  settings = {"height", "width", "renderer", "shadows", "msaa_samples"}
  if lacking := settings - metadata["settings"].keys():
    raise KeyError(f"settings lack {', '.join(sorted(lacking))}")
  for name in cameras:
    if name not in known:
      kind = f"camera in config.dataset.cameras (data: {root})"
      raise errors.unknown(kind, name, known)
  if state and state not in STATES:
    raise errors.unknown("config.dataset.state", state, STATES)
  table = metadata["episodes"]
  if not 0 <= episodes <= len(table):
    raise errors.UserError(
      f"config.dataset.episodes={episodes}, but '{root}' holds {len(table)}"
    )
  count = episodes or len(table)
  lengths = np.array([row["length"] for row in table[:count]], np.int64)
  first_frames = np.concatenate([[0], np.cumsum(lengths)[:-1]])
  total = sum(row["length"] for row in table)
  if lengths.min(initial=1) < 1 or total != metadata["num_frames"]:
    raise ValueError(f"{total} frames, not {metadata['num_frames']}")
  columns = _columns(root, metadata)
  frames = int(lengths.sum())
  vectors = columns[state][:frames] if state else np.zeros((frames, 0), "f4")
  shards = [
    root / storage.shard_name(metadata["task"], i, len(table))
    for i in range(count)
  ]
  return Dataset(
    path=root,
    features=features_lib.Features(
      images=tuple(
        (name, (known[name]["height"], known[name]["width"], 3))
        for name in cameras
      ),
      action_size=columns["action"].shape[1],
      state_size=vectors.shape[1],
    ),
    statistics=_statistics(root, metadata, cameras, state),
    metadata=metadata,
    lengths=lengths,
    first_frames=first_frames,
    state=vectors,
    actions=columns["action"][:frames],
    images=image_reader.ImageReader(
      shards, first_frames, {name: known[name] for name in cameras}
    ),
  )


def _columns(
  root: pathlib.Path, metadata: dict[str, Any]
) -> dict[str, np.ndarray]:
  path = root / storage.LOW_DIMENSIONAL_FILE
  columns = storage.read_arrays(path)
  for name, size in metadata["sizes"].items():
    shape, expected = columns[name].shape, (metadata["num_frames"], size)
    if shape != expected:
      raise errors.UserError(
        f"{path}: '{name}' has shape {shape}, {storage.METADATA_FILE} says "
        f"{expected}: collect the demonstrations again"
      )
  return columns


def _statistics(
  root: pathlib.Path,
  metadata: dict[str, Any],
  cameras: tuple[str, ...],
  state: str,
) -> dict[str, statistics.Block]:
  sources = {f"images/{name}": f"images/{name}" for name in cameras}
  sources["action"] = "action"
  if state:
    sources["state"] = state
  stored = metadata.get("statistics", {})
  path = str(root / storage.METADATA_FILE)
  out = {}
  for feature, source in sources.items():
    size = metadata["sizes"].get(source, 3)
    statistics.check(source, stored.get(source), size, path)
    out[feature] = stored[source]
  return out
