"""Collects scripted demonstrations into a dataset; see `act.storage`.

Seeds count up from the first. An expert tries each; the first so many that
succeed become the episodes, in order, whatever the number of workers and
however often the collection was interrupted: the files come out the same,
byte for byte. Trials and episodes that are finished are kept in files of
their own, so a collection goes on where it was killed.
"""

import contextlib
import os
import pathlib
import shutil
from concurrent import futures

from act import claim, completion, pool, recording, storage
from carnet import errors, progress

Settings = recording.Settings

_ALOHA = recording.Aloha()


def collect(
  settings: Settings,
  directory: str | os.PathLike[str],
  workers: int = 0,
  simulator: recording.Simulator = _ALOHA,
) -> pathlib.Path:
  """Returns the directory with the demonstrations, collecting what is missing.

  `workers` are processes, 0 is one per core and 1 stays in this process.

  Raises:
    UserError: the directory holds something else; the disk is full.
    Interrupted: of SIGTERM.
  """
  _check(settings)
  root = pathlib.Path(directory)
  recorder = recording.Recorder(simulator, settings, root)
  work = recorder.work
  if _is_finished(root, work, settings):
    shutil.rmtree(work, ignore_errors=True)
    return root
  asked = settings.to_json() | {"mujoco": completion.versions()["mujoco"]}
  workers = min(pool.count(workers), settings.episodes)
  with (
    contextlib.closing(recorder),
    pool.start(recorder, workers) as submit,
    claim.claimed(root, work, asked),
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


def _is_finished(
  root: pathlib.Path, work: pathlib.Path, settings: Settings
) -> bool:
  claim.check_place(root)
  if (root / storage.METADATA_FILE).exists():
    metadata = storage.read_metadata(root)
    claim.compare(root, metadata["settings"], settings.to_json())
    return True
  claim.refuse_others(root, work)
  return False


def _find_seeds(
  submit: pool.Submit, work: pathlib.Path, settings: Settings
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
  submit: pool.Submit,
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
  pool.follow(submit, "record", missing, len(seeds), "recording")


def _is_recorded(
  root: pathlib.Path, work: pathlib.Path, settings: Settings, index: int
) -> bool:
  path = recording.episode_path(work, index)
  shard = root / storage.shard_name(settings.task, index, settings.episodes)
  if not path.exists() or not shard.exists():
    return False
  return shard.stat().st_size == int(storage.read_arrays(path)["bytes"])
