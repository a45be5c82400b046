"""Writes any recording as a LeRobotDataset v3.0.

    DIR/
      data/chunk-000/file-000.parquet           vectors, a row group an episode
      videos/FEATURE/chunk-000/file-000.mp4     pictures, several episodes each
      meta/info.json  stats.json  tasks.parquet
      meta/episodes/chunk-000/file-000.parquet  a row an episode
      meta/carnet.json  README.md               where it comes from

The directory appears when it is complete. Until then finished episodes lie
beside it, in `.NAME.exporting`, and the same command goes on with them.
"""

import dataclasses
import os
import pathlib
import re
import shutil
from typing import Any

from act import claim, pool, storage
from act.recordings import (
  base,
  caching,
  lerobot_completion,
  lerobot_plan,
  opening,
)
from act.recordings import lerobot_export_workers as export_workers
from act.recordings import lerobot_video_writer as videos
from carnet import errors

_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Asked:
  """How to export.

  Attributes:
    repo_id: user/name that the dataset card says; "" is none.
    codec: of the videos, "av1" or "h264".
    workers: processes; 0 is one a core, 1 stays in this process.
    fps: frames a second, where the data do not tell.
  """

  repo_id: str = ""
  codec: str = "av1"
  workers: int = 0
  fps: float | None = None


def export(
  origin: str,
  directory: str | os.PathLike[str],
  asked: Asked | None = None,
  options: base.Options | None = None,
) -> pathlib.Path:
  """Returns the directory with the LeRobotDataset, making what is missing.

  Raises:
    UserError, Interrupted: as `caching.cache`.
  """
  asked, options = asked or Asked(), options or base.Options()
  _check(asked)
  root = pathlib.Path(directory)
  work = root.absolute().parent / f".{root.absolute().name}.exporting"
  claim.check_place(root)
  found = opening.open(origin, options)
  claim.keep_apart(root, opening.places(origin, found))
  plan = lerobot_plan.of(found, asked.fps)
  settings = {
    **caching.settings(found, options),
    "repo_id": asked.repo_id,
    "codec": asked.codec,
    "fps": plan.fps,
  }
  if (root / lerobot_completion.SOURCE).is_file():
    made = storage.read_json(root / lerobot_completion.SOURCE)
    claim.compare(root, made.get("export", {}), settings)
    shutil.rmtree(work, ignore_errors=True)
    return root
  _refuse_others(root)
  with claim.claimed(root, work, settings):
    _encode(found, work, plan, asked, options)
    complete = work / "dataset"
    try:
      lerobot_completion.complete(complete, work, found, plan, settings)
      complete.replace(root)
    except BaseException:
      shutil.rmtree(complete, ignore_errors=True)  # room on a full disk
      raise
  shutil.rmtree(work)
  return root


def source(directory: pathlib.Path) -> dict[str, Any]:
  """Returns what an export knows of its source, skipped episodes among it."""
  made = storage.read_json(directory / lerobot_completion.SOURCE)
  return dict(made["source"])


def _check(asked: Asked) -> None:
  if asked.codec not in videos.CODECS:
    raise errors.unknown("codec", asked.codec, videos.CODECS)
  if asked.repo_id and not _REPO_ID.fullmatch(asked.repo_id):
    raise errors.UserError(f"--repo_id={asked.repo_id}: write user/name")


def _refuse_others(root: pathlib.Path) -> None:
  if root.is_symlink():  # which no directory can be renamed to
    raise errors.UserError(f"'{root}' is a link: name the directory itself")
  if root.exists() and (not root.is_dir() or any(root.iterdir())):
    raise errors.UserError(
      f"'{root}' exists and is no finished export: choose another --out"
    )


def _encode(
  found: base.Recording,
  work: pathlib.Path,
  plan: lerobot_plan.Plan,
  asked: Asked,
  options: base.Options,
) -> None:
  exporter = export_workers.Exporter(
    found.origin,
    options,
    work_directory=work,
    codec=asked.codec,
    fps=plan.fps,
  )

  def is_done(number: int) -> bool:
    path = export_workers.facts_path(work, number)
    if not path.exists():
      return False
    facts = storage.read_arrays(path)
    return "reason" not in facts or options.skip_bad

  pool.each(exporter, found.episodes.tolist(), is_done, asked.workers, "videos")
