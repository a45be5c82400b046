"""Opens the directories that this package writes; see `act.storage`.

Those of scripts/collect_demos.py hold the vectors qpos, qvel and action; those
of scripts/convert.py cache the vectors, names and tasks of what they repack.
"""

import functools
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from act import image_reader, statistics, storage
from act.recordings import base, own_layout
from act.recordings import place as place_lib
from carnet import errors


def open(place: str, options: base.Options) -> base.Recording:
  """Opens our demonstrations; UserError when they are unfit.

  Sizes of files are checked, `storage.verify` checks digests.
  """
  if not place:
    raise errors.UserError(
      "config.dataset.path is empty: set it to a directory that "
      "scripts/collect_demos.py wrote"
    )
  root = place_lib.find(place)
  metadata = storage.read_unchecked(root)
  try:
    for name in set(metadata["files"]) - own_layout.shards(metadata):
      storage.check_file(root, name, metadata["files"][name])
    return _open(root, metadata, options)
  except (
    *(AttributeError, IndexError, KeyError),
    *(OverflowError, TypeError, ValueError),
  ) as error:
    raise errors.UserError(
      f"{root / storage.METADATA_FILE}: damaged ({error!r}): delete the "
      "directory and collect the demonstrations again"
    ) from error


def _open(
  root: pathlib.Path, metadata: dict[str, Any], options: base.Options
) -> base.Recording:
  layout = own_layout.of(metadata)
  table = layout.episodes
  asked = _asked(root, layout, options.episodes)
  wanted = [
    name
    for name in layout.cameras
    if options.cameras is None or name in options.cameras
  ]
  vectors = _vectors(root, layout)
  _check_statistics(root, layout, wanted)
  used, skipped = _sound(root, metadata, layout, vectors, asked, options)
  frames = np.concatenate([_frames(table[index]) for index in used])
  lengths = np.array([table[index].length for index in used], np.int64)
  images = functools.partial(
    _open_images,
    *(root, layout),
    [table[index].shard for index in used],
    lengths,
    [table[index].number for index in used],
  )
  return base.Recording(
    origin=str(root),
    path=root,
    identity=layout.identity,
    format=layout.format,
    revision=storage.digest(root / storage.METADATA_FILE)["sha256"],
    fps=layout.fps,
    cameras={
      name: base.Camera(height=camera["height"], width=camera["width"])
      for name, camera in layout.cameras.items()
    },
    vectors={
      name: base.Vector(values[frames], layout.dimensions[name])
      for name, values in vectors.items()
    },
    lengths=lengths,
    episodes=np.array([table[index].number for index in used], np.int64),
    tasks=tuple(table[index].task for index in used),
    statistics=layout.normalizing,
    skipped=tuple(
      sorted(
        (*(x for x in layout.skipped if x.episode in asked), *skipped),
        key=lambda x: x.episode,
      )
    ),
    details=metadata,
    open_images=images,
  )


def _asked(
  root: pathlib.Path, layout: own_layout.Layout, count: int
) -> set[int]:
  """Returns the numbers of the first `count` episodes, of all where it is 0.

  Those that a cache left out count as well, so that its first ones are those
  of its source.
  """
  numbers = sorted(
    {x.number for x in layout.episodes} | {x.episode for x in layout.skipped}
  )
  if not 0 <= count <= len(numbers):
    raise errors.UserError(
      f"config.dataset.episodes={count}, but '{root}' holds {len(numbers)}"
    )
  return set(numbers[: count or len(numbers)])


def _open_images(
  root: pathlib.Path,
  layout: own_layout.Layout,
  shards: Sequence[str],
  lengths: np.ndarray,
  numbers: Sequence[int],
  names: Sequence[str],
) -> base.Images:
  for name in names:
    if name not in layout.cameras:
      raise errors.unknown(f"camera (data: {root})", name, layout.cameras)
  return image_reader.ImageReader(
    [root / shard for shard in shards],
    np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
    {name: layout.cameras[name] for name in names},
    numbers,
  )


def _sound(
  root: pathlib.Path,
  metadata: Mapping[str, Any],
  layout: own_layout.Layout,
  vectors: Mapping[str, np.ndarray],
  asked: Collection[int],
  options: base.Options,
) -> tuple[list[int], list[base.Skipped]]:
  """Returns which of the asked episodes are sound, and what ails the others."""
  used: list[int] = []
  skipped: list[base.Skipped] = []
  for index, episode in enumerate(layout.episodes):
    if episode.number not in asked:
      continue
    try:
      storage.check_file(root, episode.shard, metadata["files"][episode.shard])
      if episode.length < 2:
        raise errors.UserError(
          f"{root / episode.shard}: episode {episode.number} has one frame, "
          "which no action follows"
        )
      for name, values in vectors.items():
        if not np.isfinite(values[_frames(episode)]).all():
          raise errors.UserError(
            f"{root / storage.LOW_DIMENSIONAL_FILE}: '{name}' of episode "
            f"{episode.number} holds NaN or infinity"
          )
      used.append(index)
    except errors.UserError as error:
      if not options.skip_bad:
        raise
      skipped.append(base.Skipped(episode.number, str(error)))
  if not used:
    raise errors.UserError(f"'{root}' holds no sound episode")
  return used, skipped


def _frames(episode: own_layout.Episode) -> np.ndarray:
  return np.arange(episode.first_frame, episode.first_frame + episode.length)


def _vectors(
  root: pathlib.Path, layout: own_layout.Layout
) -> dict[str, np.ndarray]:
  path = root / storage.LOW_DIMENSIONAL_FILE
  columns = storage.read_arrays(path)
  for name, size in layout.sizes.items():
    shape = columns[layout.column(name)].shape
    expected = (layout.num_frames, size)
    if shape != expected:
      raise errors.UserError(
        f"{path}: '{name}' has shape {shape}, {storage.METADATA_FILE} says "
        f"{expected}: collect the demonstrations again"
      )
  return {name: columns[layout.column(name)] for name in layout.sizes}


def _check_statistics(
  root: pathlib.Path, layout: own_layout.Layout, cameras: Sequence[str]
) -> None:
  path = str(root / storage.METADATA_FILE)
  for name, size in layout.sizes.items():
    statistics.check(name, layout.statistics.get(name), size, path)
  for name in cameras:
    key = layout.key(name)
    statistics.check(key, layout.statistics.get(name), 3, path)
