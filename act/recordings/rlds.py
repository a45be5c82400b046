"""Opens RLDS, as of Open X-Embodiment, that is stored as array_record.

    DIR/ or DIR/VERSION/
      features.json  dataset_info.json     as TensorFlow Datasets writes them
      NAME-train.array_record-0000X-of-Y   one record an episode

Vectors are the numbers and tensors of a step: "observation/state". Where the
action is a dictionary, its numbers together are "action" as well, in the order
of their names. Cameras are its colour pictures. A task is what the first step
says under a name that ends in "instruction".

The action of a step with `is_last` was never carried out (RLDS); most sets of
Open X-Embodiment store a real one there all the same, so the frame stays.

What is stored as tfrecord is converted once, where TensorFlow, apache-beam and
mlcroissant are installed; --out_dir is left out, because tensorflow-datasets
4.9.10 writes no JSON files there:

    tfds convert_format --dataset_version_dir=DIR --out_file_format=array_record

The formats are read here, without TensorFlow Datasets: it imports whatever
class features.json names, and parses every picture to get at a number.

Letters: D dimensions, T steps of an episode.
"""

import collections
import concurrent.futures
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from act.recordings import (
  base,
  remedy,
  rlds_episode,
  rlds_features,
  rlds_images,
)
from act.recordings import place as place_lib
from carnet import errors

_INFO = "dataset_info.json"


def open(place: str, options: base.Options) -> base.Recording:
  """Opens a directory with the numbers of all episodes in memory.

  Raises:
    UserError: naming the file and the episode that is unsound.
  """
  root = _version(place_lib.find(place))
  info = rlds_features.info(root)
  steps, others = rlds_features.read(root)
  plan = rlds_episode.plan_of(root, steps, others, options.cameras)
  places = _places(info)
  if not 0 <= options.episodes <= len(places):
    raise errors.UserError(
      f"config.dataset.episodes={options.episodes}, but '{root}' holds "
      f"{len(places)}"
    )
  places = places[: options.episodes or len(places)]
  skipped: dict[rlds_images.Place, str] = {}
  found: list[rlds_episode.Episode] = []
  read = functools.partial(
    rlds_episode.attempt, plan, rlds_images.Shards(), root.resolve()
  )
  with _threads() as pool:
    for at, (episode, reason) in zip(
      places, pool.map(read, places), strict=True
    ):
      if episode is None:
        _refuse(at, reason, options.skip_bad, skipped)
      else:
        found.append(episode)
  found = list(_alike(found, options.skip_bad, skipped))
  if not found:
    at, reason = next(iter(skipped.items()))
    raise errors.UserError(f"{root}: no episode is sound; {at}: {reason}")
  return _recording(place, root, info, plan, found, skipped)


def _version(path: pathlib.Path) -> pathlib.Path:
  """Returns the directory of the one version, if `path` is above it."""
  if (path / _INFO).is_file():
    return path
  below = sorted(x.parent for x in path.glob(f"*/{_INFO}"))
  if len(below) == 1:
    return below[0]
  if below:
    names = ", ".join(x.name for x in below)
    raise errors.UserError(f"{path} holds several versions, name one: {names}")
  raise errors.UserError(f"no RLDS at '{path}': there is no {_INFO}")


def _places(info: rlds_features.Info) -> list[rlds_images.Place]:
  numbers = (
    (shard, record)
    for shard, length in zip(info.shards, info.lengths, strict=True)
    for record in range(length)
  )
  return [rlds_images.Place(*x, episode=i) for i, x in enumerate(numbers)]


def _threads() -> concurrent.futures.ThreadPoolExecutor:
  return concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1))


def _refuse(
  place: rlds_images.Place,
  reason: str,
  skip: bool,
  skipped: dict[rlds_images.Place, str],
) -> None:
  if not skip:
    raise errors.UserError(f"{place}: {reason}; {remedy.SKIP_BAD}")
  skipped[place] = reason


def _alike(
  found: Sequence[rlds_episode.Episode],
  skip: bool,
  skipped: dict[rlds_images.Place, str],
) -> Iterator[rlds_episode.Episode]:
  """Yields the episodes whose widths and sizes are those of most."""
  counts = collections.Counter(x.layout for x in found)
  usual = dict(counts.most_common(1)[0][0]) if counts else {}
  for episode in found:
    other = [(n, x) for n, x in episode.layout if x != usual[n]]
    if other:
      name, shape = other[0]
      reason = f"'{name}' is {shape}, in other episodes {usual[name]}"
      _refuse(episode.place, reason, skip, skipped)
    else:
      yield episode


def _recording(
  place: str,
  root: pathlib.Path,
  info: rlds_features.Info,
  plan: rlds_episode.Plan,
  found: Sequence[rlds_episode.Episode],
  skipped: Mapping[rlds_images.Place, str],
) -> base.Recording:
  lengths = np.array([x.length for x in found], np.int64)
  sizes: dict[str, tuple[int, int]] = {}
  for episode in found:
    sizes = episode.others | episode.sizes | sizes
  cameras = {
    x.name: (x, base.Camera(*sizes[x.name]))
    for x in plan.cameras
    if x.name in sizes
  }

  def open_images(names: Sequence[str]) -> base.Images:
    for name in names:
      if name not in cameras:
        raise errors.unknown(f"camera of {root}", name, cameras)
    return rlds_images.Reader(
      [x.place for x in found], lengths, {name: cameras[name] for name in names}
    )

  rates = {x.fps for x in found}
  read = {x.name for x in (*plan.vectors, *plan.cameras)}
  return base.Recording(
    origin=f"rlds:{place}",
    path=root,
    identity=info.name,
    format="RLDS as array_record",
    revision=_digest(root, found),
    fps=rates.pop() if len(rates) == 1 else None,
    cameras={name: camera for name, (_, camera) in cameras.items()},
    vectors=_vectors(found),
    lengths=lengths,
    episodes=np.array([x.place.episode for x in found], np.int64),
    tasks=tuple(x.task for x in found),
    statistics={},
    skipped=tuple(
      base.Skipped(x.episode, why) for x, why in sorted(skipped.items())
    ),
    details={
      "split": info.split,
      "other_splits": list(info.others),
      "not_read": [x.name for x in plan.steps if x.name not in read],
      "last_action": "kept, though RLDS does not carry it out",
      "revision": "SHA-256 of both JSON files and of every record",
    },
    open_images=open_images,
  )


def _vectors(found: Sequence[rlds_episode.Episode]) -> dict[str, base.Vector]:
  vectors = {
    name: base.Vector(np.concatenate([x.vectors[name] for x in found]))
    for name in found[0].vectors
  }
  parts = {n: x.values for n, x in vectors.items() if n.startswith("action/")}
  if parts and "action" not in vectors:
    names = [
      part if values.shape[1] == 1 else f"{part}/{index}"
      for part, values in parts.items()
      for index in range(values.shape[1])
    ]
    vectors["action"] = base.Vector(
      np.concatenate(list(parts.values()), axis=1),
      tuple(name.removeprefix("action/") for name in names),
    )
  return vectors


def _digest(root: pathlib.Path, found: Sequence[rlds_episode.Episode]) -> str:
  digest = hashlib.sha256()
  for name in (_INFO, "features.json"):
    digest.update(hashlib.sha256((root / name).read_bytes()).digest())
  for episode in found:
    digest.update(episode.digest)
  return digest.hexdigest()
