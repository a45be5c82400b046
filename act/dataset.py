"""Demonstrations as batches of an observation and the actions that follow.

States and actions stay in memory (45 kB an episode); of a sample only the
image is read. A chunk that runs over the end of its episode repeats the last
action, as LeRobot does, and is marked in `is_pad`; the loss and the network
never look there. Values are raw: normalisation happens on the device. Where the
data come from and in which format is the matter of `act.recordings`.

This module imports no JAX. Grain does, so `make_iterator` imports it late.

Letters: B batch, K chunk, A action, Q state, E episodes, F frames, H, W image;
O numbers of the environment's state.
"""

import atexit
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from ml_collections import config_dict

from act import features as features_lib
from act import sampling as sampling_lib
from act import statistics
from act.recordings import (
  base,
  metadata,
  naming,
  opening,
  soundness,
  subset,
)
from carnet import errors

SAMPLINGS = sampling_lib.SAMPLINGS


@dataclasses.dataclass(frozen=True)
class Dataset:
  """An opened dataset; `open` makes it.

  Attributes:
    path: where it lies.
    origin: what opens it again, pinned to a commit if it is of a hub.
    identity: its name in a passport.
    revision: the commit, or a digest of the content.
    features: names and sizes, as the policy has them.
    statistics: of every feature that has some.
    metadata: JSON values that travel with the checkpoint.
    names: what the policy calls a feature -> its name in the data.
    dimensions: names of the numbers of an action; () where unknown.
    episodes: the numbers that the data give to the episodes in use.
    skipped: unsound episodes that were left out.
  """

  path: pathlib.Path
  origin: str
  identity: str
  revision: str | None
  features: features_lib.Features
  statistics: dict[str, statistics.Block]
  metadata: dict[str, Any]
  names: dict[str, str]
  dimensions: tuple[str, ...]
  episodes: Int[np.ndarray, " E"]
  skipped: tuple[base.Skipped, ...]
  lengths: Int[np.ndarray, " E"]
  first_frames: Int[np.ndarray, " E"]
  state: Float[np.ndarray, "F Q"]
  environment_state: Float[np.ndarray, "F O"]
  actions: Float[np.ndarray, "F A"]
  images: base.Images

  @property
  def is_ours(self) -> bool:
    """Whether it is of our own layout, the fastest to read."""
    return metadata.is_ours(self.metadata)

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
    """Returns images {camera: uint8 [B, H, W, 3]}, vectors, actions, is_pad."""
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
    if self.features.environment_state_size:
      out["environment_state"] = self.environment_state[frames]
    return out


def open_configured(
  options: config_dict.ConfigDict,
  path: str | os.PathLike[str] | None = None,
  known_bad: Sequence[base.Skipped] | None = None,
) -> Dataset:
  """Opens what `config.dataset` names, or the same data moved to `path`.

  With `known_bad`, which a checkpoint keeps, unsound episodes are left out.
  """
  return open(
    options.path if path is None else path,
    options.cameras,
    options.state,
    options.episodes,
    environment_state=options.environment_state,
    rename=options.rename,
    exclude=options.exclude_episodes,
    skip_bad=options.skip_bad_episodes or known_bad is not None,
    known_bad=known_bad,
  )


def open(
  path: str | os.PathLike[str],
  cameras: Sequence[str] = naming.ALL,
  state: str = "qpos",
  episodes: int = 0,
  *,
  environment_state: str = "",
  rename: Sequence[str] = (),
  exclude: Sequence[int] = (),
  skip_bad: bool = False,
  known_bad: Sequence[base.Skipped] | None = None,
) -> Dataset:
  """Opens demonstrations; see `act.recordings.opening` for what `path` may be.

  Args:
    path: a directory, or "lerobot:..." and the like.
    cameras: the policy's names of them, in its order; ("*",) is all.
    state: the policy's name of the vector that it sees, "" for none.
    episodes: take only the first so many, 0 all.
    environment_state: the same for the state of the environment.
    rename: "name in the data => the policy's".
    exclude: numbers of episodes to leave out, as the data number them.
    skip_bad: leave unsound episodes out. Of data that are not of our layout
      every picture is decoded, to know which these are.
    known_bad: leaves out these and what opening finds, and decodes nothing.

  Raises:
    UserError: the data are unfit, or lack something that was asked for.
  """
  if not os.fspath(path):
    raise errors.UserError(
      "config.dataset.path is empty: set it to a directory that "
      "scripts/collect_demos.py wrote, or to lerobot:PATH"
    )
  asked = naming.Asked(tuple(cameras), state, environment_state, tuple(rename))
  # excluded ones may be unsound
  tolerant = skip_bad or bool(exclude)
  options = base.Options(naming.candidates(asked), episodes, tolerant)
  found = subset.without(opening.open(os.fspath(path), options), exclude)
  if not skip_bad:
    found = soundness.refuse_bad(found, exclude)
  chosen = naming.choose(found, asked)
  if known_bad is None and skip_bad and not metadata.is_ours(found.details):
    cameras = tuple(chosen.cameras.values())
    known_bad = soundness.undecodable(found, cameras)
  return _dataset(soundness.skip(found, known_bad or ()), chosen)


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


def _dataset(found: base.Recording, chosen: naming.Chosen) -> Dataset:
  vectors = {
    "state": _vector(found, chosen.state.values()),
    "environment_state": _vector(found, chosen.environment_state.values()),
    "action": found.vectors[chosen.action].values,
  }
  sizes = {
    ours: (found.cameras[name].height, found.cameras[name].width, 3)
    for ours, name in chosen.cameras.items()
  }
  images = found.open_images(tuple(chosen.cameras.values()))
  return Dataset(
    path=found.path,
    origin=found.origin,
    identity=found.identity,
    revision=found.revision,
    features=features_lib.Features(
      images=tuple(sizes.items()),
      action_size=vectors["action"].shape[1],
      state_size=vectors["state"].shape[1],
      environment_state_size=vectors["environment_state"].shape[1],
    ),
    statistics=_statistics(found, chosen, vectors),
    metadata=metadata.of(found, chosen),
    names=chosen.all(),
    dimensions=found.vectors[chosen.action].names,
    episodes=found.episodes,
    skipped=found.skipped,
    lengths=found.lengths,
    first_frames=found.first_frames,
    state=vectors["state"],
    environment_state=vectors["environment_state"],
    actions=vectors["action"],
    images=naming.renamed(images, chosen.cameras),
  )


def _vector(
  found: base.Recording, names: Iterable[str]
) -> Float[np.ndarray, "F D"]:
  for name in names:
    return found.vectors[name].values
  return np.zeros((found.num_frames, 0), np.float32)


def _statistics(
  found: base.Recording,
  chosen: naming.Chosen,
  vectors: Mapping[str, Float[np.ndarray, "F D"]],
) -> dict[str, statistics.Block]:
  """Vectors: of the frames in use. Images: as they lie with the data."""
  blocks = {
    feature: statistics.of_vectors(values)
    for feature, values in vectors.items()
    if values.shape[1]
  }
  for ours, name in chosen.cameras.items():
    if stored := found.statistics.get(name):
      blocks[f"images/{ours}"] = dict(stored)
  return blocks
