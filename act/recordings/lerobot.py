"""LeRobotDataset v2.0, v2.1 and v3.0, read as they are; no torch.

A frame is chosen by its index in the episode, never by a timestamp: what
LeRobot returns where its tolerance lets it.

Letters: E episodes.
"""

import dataclasses
import glob
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from act.recordings import (
  base,
  columns,
  lerobot_episode,
  lerobot_footage,
  lerobot_info,
  lerobot_revision,
  lerobot_stored_statistics,
  lerobot_v2,
  lerobot_v3,
)
from act.recordings import (
  place as place_lib,
)
from carnet import errors, hub

_MOST_NOTES = 20


@dataclasses.dataclass(frozen=True)
class _Place:
  """Where the data are, and what they are called."""

  root: pathlib.Path
  origin: str
  identity: str
  commit: str | None


def open(place: str, options: base.Options) -> base.Recording:
  """Returns the recording in a directory, or in user/name@revision of a hub.

  Raises:
    UserError: it is not there, unsound, or of a version nobody reads.
  """
  found = _locate(place, options)
  info = lerobot_info.read(found.root)
  cameras = _cameras(info, options)
  if options.episodes > info.total_episodes or options.episodes < 0:
    raise errors.UserError(
      f"{options.episodes} episodes of '{place}', which has "
      f"{info.total_episodes}"
    )
  count = options.episodes or info.total_episodes
  ledger = lerobot_episode.Ledger(options.skip_bad)
  layout = lerobot_v3 if info.version == "v3.0" else lerobot_v2
  tasks = layout.tasks(info)
  episodes = layout.episodes(info, cameras, count, ledger)
  rows = columns.read(info, episodes, tasks, ledger)
  episodes = [e for e in episodes if e.number not in ledger]
  footage = lerobot_footage.find(info, cameras, episodes, rows, ledger)
  episodes = [e for e in episodes if e.number not in ledger]
  if not episodes:
    first = ledger.skipped()[0]
    raise errors.UserError(
      f"'{place}': none of {count} episodes is sound: episode {first.episode}: "
      f"{first.reason}"
    )
  return _recording(found, info, footage, episodes, rows, tasks, ledger)


def _locate(place: str, options: base.Options) -> _Place:
  """Returns the directory; what is none and reads as user/name is fetched."""
  path = place_lib.find(place)
  if path.exists() or not hub.is_id(place):
    if not path.is_dir():
      raise errors.UserError(
        f"'{place}' is no directory, and no user/name of a hub"
      )
    name = path.resolve().name
    return _Place(path, f"lerobot:{place}", name, None)
  name, _, revision = place.partition("@")
  patterns = ["meta/*", "data/*", "videos/*", "images/*"]
  if options.cameras is not None:
    patterns = patterns[:2]
    for camera in map(glob.escape, options.cameras):
      patterns += [f"videos/{camera}/*", f"videos/*/{camera}/*"]
      patterns += [f"images/{camera}/*"]
  try:
    fetched = hub.snapshot(name, "dataset", revision or None, patterns)
  except errors.UserError as error:
    raise errors.UserError(
      f"'{place}' is no directory, and of the hub it is not to be had: {error}"
    ) from error
  origin = f"lerobot:{name}@{fetched.commit}"
  return _Place(fetched.path, origin, name, fetched.commit)


def _cameras(info: lerobot_info.Info, options: base.Options) -> list[str]:
  """Returns whose pictures must be there, in the order of the data."""
  if options.cameras is None:
    return list(info.cameras)
  for name in options.cameras:
    if name in info.ignored:
      raise info.fault(f"camera '{name}' is not read: {info.ignored[name]}")
  return [name for name in info.cameras if name in options.cameras]


def _recording(
  place: _Place,
  info: lerobot_info.Info,
  footage: lerobot_footage.Footage,
  episodes: Sequence[lerobot_episode.Episode],
  rows: Mapping[int, columns.Rows],
  tasks: Mapping[int, str],
  ledger: lerobot_episode.Ledger,
) -> base.Recording:
  used = [rows[episode.number] for episode in episodes]
  lengths = np.array([episode.length for episode in episodes], np.int64)
  numbers = np.array([episode.number for episode in episodes], np.int64)
  return base.Recording(
    origin=place.origin,
    path=place.root,
    identity=place.identity,
    format=f"LeRobotDataset {info.version}",
    revision=place.commit or lerobot_revision.digest(place.root),
    fps=info.fps,
    cameras={
      name: base.Camera(camera.height, camera.width)
      for name, camera in info.cameras.items()
    },
    vectors={
      name: base.Vector(columns.stack(used, name, v.size), v.names)
      for name, v in info.vectors.items()
    },
    lengths=lengths,
    episodes=numbers,
    tasks=tuple(
      _task(episode, part, tasks)
      for episode, part in zip(episodes, used, strict=True)
    ),
    statistics=lerobot_stored_statistics.read(info, episodes),
    skipped=ledger.skipped(),
    details=_details(place, info, used, tasks),
    open_images=lerobot_footage.opener(info, footage, numbers, lengths),
  )


def _task(
  episode: lerobot_episode.Episode,
  rows: columns.Rows,
  tasks: Mapping[int, str],
) -> str:
  texts = [tasks[index] for index in rows.tasks if index in tasks]
  return "; ".join(texts or episode.tasks)


def _details(
  place: _Place,
  info: lerobot_info.Info,
  rows: Sequence[columns.Rows],
  tasks: Mapping[int, str],
) -> dict[str, Any]:
  notes = [note for part in rows for note in part.notes]
  if len(notes) > _MOST_NOTES:
    notes = [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES} more"]
  return {
    "codebase_version": info.version,
    "robot_type": info.robot_type,
    "fps": info.fps,
    "repository": place.identity if place.commit else None,
    "commit": place.commit,
    "total_episodes": info.total_episodes,
    "total_frames": info.total_frames,
    "tasks": [tasks[index] for index in sorted(tasks)],
    "ignored_features": dict(info.ignored),
    "notes": notes,
  }
