"""Collects scripted demonstrations into a dataset; see `act.storage`.

Seeds count up from the first. An expert tries each; the first so many that
succeed become the episodes, in order, whatever the number of workers and
however often the collection was interrupted: the files come out the same,
byte for byte. Trials and episodes that are finished are kept in files of
their own, so a collection goes on where it was killed.
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator
from concurrent import futures
from importlib import metadata as packages
from typing import Any

import numpy as np

import carnet
from act import (
  collection_workers,
  image_codec,
  recording,
  statistics,
  storage,
)
from carnet import errors, progress

Settings = recording.Settings

_ALOHA = recording.Aloha()
_WORK = ".collecting"
_SETTINGS_FILE = "settings.json"


def collect(
  settings: Settings,
  directory: str | os.PathLike[str],
  workers: int = 0,
  simulator: recording.Simulator = _ALOHA,
) -> pathlib.Path:
  """Returns the directory with the demonstrations, collecting what is missing.

  `workers` are processes, 0 is one per core and 1 stays in this process.
  UserError when the directory holds other demonstrations or the disk is full.
  """
  _check(settings)
  root = pathlib.Path(directory)
  if _is_finished(root, settings):
    shutil.rmtree(root / _WORK, ignore_errors=True)
    return root
  workers = min(collection_workers.count(workers), settings.episodes)
  with (
    collection_workers.start(simulator, settings, root, workers) as submit,
    _claimed(root, settings) as work,
  ):
    seeds, rejected = _find_seeds(submit, work, settings)
    _record(submit, root, work, settings, seeds)
    _finish(root, work, settings, seeds, rejected)
  shutil.rmtree(work)
  return root


def _check(settings: Settings) -> None:
  for name in ("episodes", "height", "width", "max_steps"):
    if getattr(settings, name) < 1:
      raise errors.UserError(f"--{name}={getattr(settings, name)}: at least 1")
  if not settings.cameras:
    raise errors.UserError("--cameras is empty: name at least one")


def _is_finished(root: pathlib.Path, settings: Settings) -> bool:
  if (root / storage.METADATA_FILE).exists():
    metadata = storage.read_metadata(root)
    _compare(root, metadata["settings"], _jsonable(settings))
    return True
  if root.exists() and not root.is_dir():
    raise errors.UserError(f"'{root}' is a file, not a directory")
  if root.exists() and any(root.iterdir()) and not (root / _WORK).is_dir():
    raise errors.UserError(
      f"'{root}' is not empty and holds no demonstrations: choose another "
      "--directory"
    )
  return False


def _compare(
  root: pathlib.Path, stored: dict[str, Any], asked: dict[str, Any]
) -> None:
  differences = [
    f"{name} is {stored.get(name)!r} there, {value!r} was asked"
    for name, value in asked.items()
    if stored.get(name) != value
  ]
  if differences:
    raise errors.UserError(
      f"'{root}' holds other demonstrations ({'; '.join(differences)}): "
      "choose another --directory or delete it"
    )


def _jsonable(settings: Settings) -> dict[str, Any]:
  return dataclasses.asdict(settings) | {"cameras": list(settings.cameras)}


def _versions() -> dict[str, str]:
  try:
    mujoco = packages.version("mujoco")
  except packages.PackageNotFoundError:
    mujoco = "absent"
  return {"carnet": carnet.__version__, "mujoco": mujoco}


@contextlib.contextmanager
def _claimed(root: pathlib.Path, settings: Settings) -> Iterator[pathlib.Path]:
  """Yields the work directory, held by this process alone."""
  work = root / _WORK
  work.mkdir(parents=True, exist_ok=True)
  with (work / "lock").open("w") as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise errors.UserError(
        f"another collection is running in '{root}': wait for it"
      ) from error
    for folder in (root, work):  # what a killed run was writing
      for path in folder.glob(f".*{storage.TEMPORARY}"):
        path.unlink()
    asked = _jsonable(settings) | {"mujoco": _versions()["mujoco"]}
    path = work / _SETTINGS_FILE
    if path.exists():
      _compare(root, storage.read_json(path), asked)
    else:
      storage.write_json(path, asked)
    yield work


def _find_seeds(
  submit: collection_workers.Submit, work: pathlib.Path, settings: Settings
) -> tuple[list[int], list[int]]:
  """Returns the first seeds that succeed, and those rejected before them."""
  outcomes: dict[int, bool] = {}
  pending: dict[futures.Future[bool], int] = {}
  seed = settings.first_seed
  with progress.bar("experts", settings.episodes) as bar:
    while True:
      # Never more trials than could be needed: which seeds are tried then
      # does not depend on which trial ends first.
      while sum(outcomes.values()) + len(pending) < settings.episodes:
        path = recording.trial_path(work, seed)
        if path.exists():
          outcomes[seed] = bool(storage.read_arrays(path)["success"])
        else:
          pending[submit("trial", seed)] = seed
        seed += 1
        _check_rejections(outcomes, settings)
      if not pending:
        break
      done, _ = futures.wait(pending, return_when=futures.FIRST_COMPLETED)
      for future in done:
        outcomes[pending.pop(future)] = future.result()
      bar.update(sum(outcomes.values()))
  found = [seed for seed in sorted(outcomes) if outcomes[seed]]
  return found, [seed for seed in sorted(outcomes) if not outcomes[seed]]


def _check_rejections(outcomes: dict[int, bool], settings: Settings) -> None:
  rejected = len(outcomes) - sum(outcomes.values())
  if rejected > settings.episodes + 20:
    raise errors.UserError(
      f"the expert of {settings.task} failed on {rejected} of "
      f"{len(outcomes)} seeds with mujoco {_versions()['mujoco']}: install "
      "the pinned version (requirements.lock)"
    )


def _record(
  submit: collection_workers.Submit,
  root: pathlib.Path,
  work: pathlib.Path,
  settings: Settings,
  seeds: list[int],
) -> None:
  missing = [
    (index, seed)
    for index, seed in enumerate(seeds)
    if not _is_recorded(root, work, settings, index)
  ]
  done = len(seeds) - len(missing)
  with progress.bar("recording", len(seeds), done) as bar:
    running = [submit("record", index, seed) for index, seed in missing]
    for future in futures.as_completed(running):
      future.result()
      done += 1
      bar.update(done)


def _is_recorded(
  root: pathlib.Path, work: pathlib.Path, settings: Settings, index: int
) -> bool:
  path = recording.episode_path(work, index)
  shard = root / storage.shard_name(settings.task, index, settings.episodes)
  if not path.exists() or not shard.exists():
    return False
  return shard.stat().st_size == int(storage.read_arrays(path)["bytes"])


def _finish(
  root: pathlib.Path,
  work: pathlib.Path,
  settings: Settings,
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
  encoding = image_codec.choose(settings.height, settings.width)
  camera: dict[str, Any] = {
    "height": settings.height,
    "width": settings.width,
    "encoding": encoding,
  }
  if encoding == "jpeg":
    camera["quality"] = image_codec.JPEG_QUALITY
  cameras = dict.fromkeys(settings.cameras, camera)
  shards: dict[str, dict[str, Any]] = {
    storage.shard_name(settings.task, index, len(facts)): {
      "bytes": int(episode["bytes"]),
      "sha256": str(episode["sha256"]),
    }
    for index, episode in enumerate(facts)
  }
  lengths = [len(episode["reward"]) for episode in facts]
  num_bytes = sum(shard["bytes"] for shard in shards.values())
  storage.write_tfds_info(
    root, settings.task, cameras, sizes, lengths, num_bytes
  )
  beside = (storage.LOW_DIMENSIONAL_FILE, "dataset_info.json", "features.json")
  blocks = {name: statistics.of_vectors(columns[name]) for name in vectors}
  for name in settings.cameras:
    counts = np.sum([episode[f"counts/{name}"] for episode in facts], axis=0)
    blocks[f"images/{name}"] = statistics.of_counts(counts)
  storage.write_json(
    root / storage.METADATA_FILE,
    {
      "format_version": storage.FORMAT_VERSION,
      "task": settings.task,
      "settings": _jsonable(settings),
      "control_hz": float(facts[0]["control_hz"]),
      "versions": _versions(),
      "num_frames": sum(lengths),
      "cameras": cameras,
      "sizes": sizes,
      "episodes": _episode_table(facts),
      "rejected_seeds": rejected,
      "statistics": blocks,
      "files": shards | {name: storage.digest(root / name) for name in beside},
    },
  )


def _episode_table(facts: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
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
