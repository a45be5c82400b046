"""Collects scripted demonstrations into a dataset; see `act.storage`.

Seeds count up from the first. An expert tries each; the first so many that
succeed become the episodes, in order, whatever the number of workers and
however often the collection was interrupted: the files come out the same,
byte for byte. Trials and episodes that are finished are kept in files of
their own, so a collection goes on where it was killed.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator
from concurrent import futures
from typing import Any

from act import collection_workers, completion, recording, storage
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
    completion.complete(root, work, settings, seeds, rejected)
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
    _compare(root, metadata["settings"], settings.to_json())
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


@contextlib.contextmanager
def _claimed(root: pathlib.Path, settings: Settings) -> Iterator[pathlib.Path]:
  """Yields the work directory, held by this process alone."""
  work = root / _WORK
  try:
    work.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise errors.UserError(
      f"cannot create '{root}': {error.strerror}"
    ) from error
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
    asked = settings.to_json() | {"mujoco": completion.versions()["mujoco"]}
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
    mujoco = completion.versions()["mujoco"]
    raise errors.UserError(
      f"the expert of {settings.task} failed on {rejected} of "
      f"{len(outcomes)} seeds with mujoco {mujoco}: install the pinned "
      "version (requirements.lock)"
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
