"""Turns finished shards into a dataset: metadata, statistics, digests."""

import math
import pathlib
from importlib import metadata as packages
from typing import Any

import numpy as np

import carnet
from act import statistics, storage
from act.recordings import base, caching_workers
from carnet import errors

PLACING = "placing.json"  # every episode is there; which of them are sound


def complete(
  root: pathlib.Path,
  work: pathlib.Path,
  found: base.Recording,
  settings: dict[str, Any],
) -> None:
  """Writes everything beside the shards, metadata.json last."""
  facts = {
    number: storage.read_arrays(caching_workers.facts_path(work, number))
    for number in found.episodes.tolist()
  }
  sound = [n for n, fact in enumerate(facts.values()) if "reason" not in fact]
  if not sound:
    raise errors.UserError(f"{found.origin}: no sound episode to cache")
  kept = [fact for fact in facts.values() if "reason" not in fact]
  columns = _columns(root, found, sound)
  shards = _place(root, work, found, sound, kept)
  cameras = _cameras(found, settings["quality"])
  sizes = {
    name: vector.values.shape[1] for name, vector in found.vectors.items()
  }
  lengths = found.lengths[sound].tolist()
  from act import tfds_info  # a second of import; workers do without

  beside = tfds_info.write(
    root,
    found.identity,
    tfds_info.features_of_cache(cameras, sizes),
    lengths,
    sum(shard["bytes"] for shard in shards.values()),
    version=storage.CACHE_VERSION,
    what=f"Cached frames ({found.format})",
  )
  files = (storage.LOW_DIMENSIONAL_FILE, *beside)
  storage.write_json(
    root / storage.METADATA_FILE,
    {
      "format_version": storage.CACHE_VERSION,
      "task": found.identity,
      "control_hz": found.fps,
      "versions": _versions(),
      "num_frames": sum(lengths),
      # lists, because keys are sorted and the order of the source counts
      "order": {"cameras": list(cameras), "vectors": list(sizes)},
      "cameras": cameras,
      "sizes": sizes,
      "dimensions": {k: list(v.names) for k, v in found.vectors.items()},
      "episodes": _episode_table(found, sound),
      "statistics": _statistics(found, columns, kept),
      "cache": settings,
      "source": source_of(found, facts),
      "files": shards | {name: storage.digest(root / name) for name in files},
    },
  )


def _columns(
  root: pathlib.Path, found: base.Recording, sound: list[int]
) -> dict[str, np.ndarray]:
  frames = np.concatenate(
    [
      np.arange(first, first + length)
      for first, length in zip(
        found.first_frames[sound], found.lengths[sound], strict=True
      )
    ]
  )
  columns = {
    f"vectors/{name}": vector.values[frames]
    for name, vector in found.vectors.items()
  }
  path = root / storage.LOW_DIMENSIONAL_FILE
  storage.write_arrays(path, columns)
  for name, values in storage.read_arrays(path).items():
    if values.tobytes() != columns[name].tobytes():
      raise RuntimeError(f"{path}: '{name}' is not what was written")
  return {name.removeprefix("vectors/"): v for name, v in columns.items()}


def _place(
  root: pathlib.Path,
  work: pathlib.Path,
  found: base.Recording,
  sound: list[int],
  kept: list[dict[str, np.ndarray]],
) -> dict[str, dict[str, Any]]:
  """Moves the shards to where they belong; what was moved before, stays."""
  storage.write_json(work / PLACING, {"sound": sound})
  shards: dict[str, dict[str, Any]] = {}
  for index, (number, fact) in enumerate(
    zip(found.episodes[sound].tolist(), kept, strict=True)
  ):
    name = storage.shard_name(found.identity, index, len(sound))
    shard = caching_workers.shard_path(work, number)
    if shard.exists():
      shard.replace(root / name)
    shards[name] = {
      "bytes": int(fact["bytes"]),
      "sha256": str(fact["sha256"]),
    }
    storage.check_file(root, name, shards[name])
  return shards


def _cameras(found: base.Recording, quality: int) -> dict[str, Any]:
  encodings = caching_workers.encodings(found)
  return {
    name: {
      "height": camera.height,
      "width": camera.width,
      "encoding": encodings[name],
      **({"quality": quality} if encodings[name] == "jpeg" else {}),
    }
    for name, camera in found.cameras.items()
  }


def _statistics(
  found: base.Recording,
  columns: dict[str, np.ndarray],
  kept: list[dict[str, np.ndarray]],
) -> dict[str, statistics.Block]:
  blocks = {name: statistics.of_vectors(v) for name, v in columns.items()}
  for name in found.cameras:
    counts = np.sum([fact[f"counts/{name}"] for fact in kept], axis=0)
    blocks[name] = statistics.of_counts(counts)
  return blocks


def _episode_table(
  found: base.Recording, sound: list[int]
) -> list[dict[str, Any]]:
  first_frame, table = 0, []
  for index in sound:
    length = int(found.lengths[index])
    table.append(
      {
        "episode": int(found.episodes[index]),
        "length": length,
        "first_frame": first_frame,
        "task": found.tasks[index],
      }
    )
    first_frame += length
  return table


def source_of(
  found: base.Recording, facts: dict[int, dict[str, np.ndarray]]
) -> dict[str, Any]:
  """Returns where the episodes come from, and which were left out and why."""
  skipped = {x.episode: x.reason for x in found.skipped}
  skipped |= {
    number: str(fact["reason"])
    for number, fact in facts.items()
    if "reason" in fact
  }
  source = {
    "origin": found.origin,
    "identity": found.identity,
    "format": found.format,
    "revision": found.revision,
    "details": found.details,
    "statistics": {k: dict(v) for k, v in found.statistics.items()},
    "skipped": [
      {"episode": number, "reason": skipped[number]}
      for number in sorted(skipped)
    ],
  }
  return {name: _finite(value) for name, value in source.items()}


def _finite(value: Any) -> Any:
  """Returns JSON without NaN and infinity, which JSON has not; None is left."""
  if isinstance(value, dict):
    return {str(name): _finite(each) for name, each in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(each) for each in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def _versions() -> dict[str, str]:
  return {"carnet": carnet.__version__, "pillow": packages.version("pillow")}
