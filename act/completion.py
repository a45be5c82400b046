"""Turns finished episodes into a dataset: metadata, statistics, digests."""

import pathlib
from importlib import metadata as packages
from typing import Any

import numpy as np

import carnet
from act import image_codec, recording, statistics, storage

Facts = dict[str, np.ndarray]


def complete(
  root: pathlib.Path,
  work: pathlib.Path,
  settings: recording.Settings,
  seeds: list[int],
  rejected: list[int],
) -> None:
  """Writes everything beside the shards, metadata.json last."""
  facts = [
    storage.read_arrays(recording.episode_path(work, index))
    for index in range(len(seeds))
  ]
  columns = {
    name: np.concatenate([episode[name] for episode in facts])
    for name in storage.LOW_DIMENSIONAL
  }
  storage.write_arrays(root / storage.LOW_DIMENSIONAL_FILE, columns)
  vectors = [name for name in storage.LOW_DIMENSIONAL if name != "reward"]
  sizes = {name: columns[name].shape[1] for name in vectors}
  cameras = dict.fromkeys(settings.cameras, _camera(settings))
  shards: dict[str, dict[str, Any]] = {
    storage.shard_name(settings.task, index, len(facts)): {
      "bytes": int(episode["bytes"]),
      "sha256": str(episode["sha256"]),
    }
    for index, episode in enumerate(facts)
  }
  lengths = [len(episode["reward"]) for episode in facts]
  num_bytes = sum(shard["bytes"] for shard in shards.values())
  from act import tfds_info  # a second of import; workers do without

  beside = tfds_info.write(
    root,
    settings.task,
    tfds_info.features_of(cameras, sizes),
    lengths,
    num_bytes,
  )
  files = (storage.LOW_DIMENSIONAL_FILE, *beside)
  storage.write_json(
    root / storage.METADATA_FILE,
    {
      "format_version": storage.FORMAT_VERSION,
      "task": settings.task,
      "settings": settings.to_json(),
      "control_hz": float(facts[0]["control_hz"]),
      "versions": versions(),
      "num_frames": sum(lengths),
      "cameras": cameras,
      "sizes": sizes,
      "episodes": _episode_table(facts),
      "rejected_seeds": rejected,
      "statistics": _statistics(settings, vectors, columns, facts),
      "files": shards | {name: storage.digest(root / name) for name in files},
    },
  )


def versions() -> dict[str, str]:
  """Returns the versions that decide what an episode looks like."""
  try:
    mujoco = packages.version("mujoco")
  except packages.PackageNotFoundError:
    mujoco = "absent"
  return {"carnet": carnet.__version__, "mujoco": mujoco}


def _camera(settings: recording.Settings) -> dict[str, Any]:
  encoding = image_codec.choose(settings.height, settings.width)
  camera: dict[str, Any] = {
    "height": settings.height,
    "width": settings.width,
    "encoding": encoding,
  }
  if encoding == "jpeg":
    camera["quality"] = image_codec.JPEG_QUALITY
  return camera


def _statistics(
  settings: recording.Settings,
  vectors: list[str],
  columns: dict[str, np.ndarray],
  facts: list[Facts],
) -> dict[str, statistics.Block]:
  blocks = {name: statistics.of_vectors(columns[name]) for name in vectors}
  for name in settings.cameras:
    counts = np.sum([episode[f"counts/{name}"] for episode in facts], axis=0)
    blocks[f"images/{name}"] = statistics.of_counts(counts)
  return blocks


def _episode_table(facts: list[Facts]) -> list[dict[str, Any]]:
  table: list[dict[str, Any]] = []
  for episode in facts:
    previous = table[-1] if table else {"first_frame": 0, "length": 0}
    table.append(
      {
        "seed": int(episode["seed"]),
        "length": len(episode["reward"]),
        "first_frame": previous["first_frame"] + previous["length"],
        "highest_reward": float(episode["reward"].max()),
        "success": True,  # only successful trials are recorded
      }
    )
  return table
