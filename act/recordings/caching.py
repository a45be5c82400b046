"""Repacks any recording into array_record with JPEG frames; see `act.storage`.

Every episode is a shard that was read back and compared with its source. What
is finished is kept, so that a run goes on where it was killed, and the files
come out the same, byte for byte, whatever the number of workers.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from typing import Any

import numpy as np

from act import claim, image_codec, pool, storage
from act.recordings import (
  base,
  caching_completion,
  caching_workers,
  opening,
)
from carnet import errors


@dataclasses.dataclass(frozen=True)
class Asked:
  """How to cache.

  Attributes:
    workers: processes; 0 is one a core, 1 stays in this process.
    quality: of the JPEGs, 1 to 100.
  """

  workers: int = 0
  quality: int = image_codec.JPEG_QUALITY


def cache(
  origin: str,
  directory: str | os.PathLike[str],
  asked: Asked | None = None,
  options: base.Options | None = None,
) -> pathlib.Path:
  """Returns the directory with the cache, making what is missing.

  Raises:
    UserError: the source is unsound or has changed since the cache was begun;
      the directory holds something else; the disk is full.
    Interrupted: of SIGTERM.
  """
  asked, options = asked or Asked(), options or base.Options()
  if not 1 <= asked.quality <= 100:
    raise errors.UserError(f"--quality={asked.quality}: 1 to 100")
  root = pathlib.Path(directory)
  work = root / storage.CACHING
  claim.check_place(root)
  found = opening.open(origin, options)
  claim.keep_apart(root, opening.places(origin, found))
  asked_for = {**settings(found, options), "quality": asked.quality}
  if (root / storage.METADATA_FILE).exists():
    made = storage.read_metadata(root).get("cache", {})
    claim.compare(root, made, asked_for)
    shutil.rmtree(work, ignore_errors=True)
    return root
  claim.refuse_others(root, work)
  with claim.claimed(root, work, asked_for):
    if not (work / caching_completion.PLACING).exists():
      _repack(found, work, asked, options)
    caching_completion.complete(root, work, found, asked_for)
  shutil.rmtree(work)
  return root


def source(directory: pathlib.Path) -> dict[str, Any]:
  """Returns what a cache knows of its source, skipped episodes among it."""
  metadata = storage.read_unchecked(directory)
  return dict(metadata["source"])


def settings(found: base.Recording, options: base.Options) -> dict[str, Any]:
  """Returns what tells this source, and what was asked of it, from others."""
  cameras = options.cameras
  return {
    "source": f"{found.identity}, {found.format}, {_content(found)}",
    "episodes": options.episodes,
    "cameras": None if cameras is None else list(cameras),
  }


def _content(found: base.Recording) -> str:
  """Returns what tells the data from any other, without their pictures."""
  facts = {
    "revision": found.revision,
    "fps": found.fps,
    "cameras": [(name, c.height, c.width) for name, c in found.cameras.items()],
    "vectors": [(name, vector.names) for name, vector in found.vectors.items()],
    "lengths": found.lengths.tolist(),
    "episodes": found.episodes.tolist(),
    "tasks": found.tasks,
  }
  digest = hashlib.sha256(json.dumps(facts).encode())
  for vector in found.vectors.values():
    digest.update(np.ascontiguousarray(vector.values).data)
  return f"sha256 {digest.hexdigest()[:16]}"


def _repack(
  found: base.Recording,
  work: pathlib.Path,
  asked: Asked,
  options: base.Options,
) -> None:
  repacker = caching_workers.Repacker(
    found.origin, options, work_directory=work, quality=asked.quality
  )

  def is_done(number: int) -> bool:
    path = caching_workers.facts_path(work, number)
    if not path.exists():
      return False
    facts = storage.read_arrays(path)
    if "reason" in facts:
      return options.skip_bad
    shard = caching_workers.shard_path(work, number)
    return shard.exists() and shard.stat().st_size == int(facts["bytes"])

  numbers = found.episodes.tolist()
  pool.each(repacker, numbers, is_done, asked.workers, "caching")
