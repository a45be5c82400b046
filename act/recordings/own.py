"""Opens the directories that this package writes; see `act.storage`.

Those of scripts/collect_demos.py hold the vectors qpos, qvel and action; those
of scripts/convert.py cache the vectors, names and tasks of what they repack.

Letters: D dimensions, E episodes, F frames.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from act import image_reader, statistics, storage
from act.recordings import base
from carnet import errors

_FORMAT = "carnet array_record v{}"
# what `act.launch` wants to know of a simulator
_SETTINGS = {"height", "width", "renderer", "shadows", "msaa_samples"}


def open(place: str, options: base.Options) -> base.Recording:
  """Opens our demonstrations; UserError when they are unfit.

  Sizes of files are checked, `storage.verify` checks digests.
  """
  if not place:
    raise errors.UserError(
      "config.dataset.path is empty: set it to a directory that "
      "scripts/collect_demos.py wrote"
    )
  root = pathlib.Path(place)
  metadata = storage.read_metadata(root)
  try:
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
  cameras = metadata["cameras"]
  if lacking := _SETTINGS - metadata["settings"].keys():
    raise KeyError(f"settings lack {', '.join(sorted(lacking))}")
  wanted = [x for x in cameras if x in (options.cameras or cameras)]
  table = metadata["episodes"]
  if not 0 <= options.episodes <= len(table):
    raise errors.UserError(
      f"config.dataset.episodes={options.episodes}, but '{root}' holds "
      f"{len(table)}"
    )
  total = sum(row["length"] for row in table)
  if total != metadata["num_frames"] or min(row["length"] for row in table) < 1:
    raise ValueError(f"{total} frames, not {metadata['num_frames']}")
  vectors = _vectors(root, metadata)
  _check_statistics(root, metadata, wanted)
  rows = table[: options.episodes or len(table)]
  lengths = np.array([row["length"] for row in rows], np.int64)
  frames = int(lengths.sum())
  shards = [
    root / storage.shard_name(metadata["task"], i, len(table))
    for i in range(len(rows))
  ]
  first_frames = np.concatenate([[0], np.cumsum(lengths)[:-1]])

  def open_images(names: Sequence[str]) -> base.Images:
    for name in names:
      if name not in cameras:
        raise errors.unknown(f"camera (data: {root})", name, cameras)
    return image_reader.ImageReader(
      shards, first_frames, {name: cameras[name] for name in names}
    )

  return base.Recording(
    origin=str(root),
    path=root,
    identity=metadata["task"],
    format=_FORMAT.format(metadata["format_version"]),
    revision=storage.digest(root / storage.METADATA_FILE)["sha256"],
    fps=float(metadata["control_hz"]),
    cameras={
      name: base.Camera(height=camera["height"], width=camera["width"])
      for name, camera in cameras.items()
    },
    vectors={
      name: base.Vector(values[:frames]) for name, values in vectors.items()
    },
    lengths=lengths,
    episodes=np.arange(len(rows)),
    tasks=(metadata["task"],) * len(rows),
    statistics={
      name.removeprefix("images/"): block
      for name, block in metadata["statistics"].items()
    },
    skipped=(),
    details=metadata,
    open_images=open_images,
  )


def _vectors(
  root: pathlib.Path, metadata: Mapping[str, Any]
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
  return {name: columns[name] for name in metadata["sizes"]}


def _check_statistics(
  root: pathlib.Path, metadata: Mapping[str, Any], cameras: Sequence[str]
) -> None:
  stored = metadata.get("statistics", {})
  path = str(root / storage.METADATA_FILE)
  for name, size in metadata["sizes"].items():
    statistics.check(name, stored.get(name), size, path)
  for name in cameras:
    feature = f"images/{name}"
    statistics.check(feature, stored.get(feature), 3, path)
