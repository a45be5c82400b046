"""The pictures of a LeRobotDataset: which files, and whether they can be read.

Videos are opened for their tables, which costs a millisecond each and finds
those that end too early; nothing is decoded.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from act.recordings import (
  base,
  columns,
  inside,
  lerobot_episode,
  lerobot_images,
  lerobot_info,
  parquet_images,
  video,
)
from carnet import errors


@dataclasses.dataclass(frozen=True)
class Footage:
  """The pictures of all episodes; `at` is file and first frame of each."""

  files: Mapping[str, Sequence[video.Video | str]]
  at: Mapping[tuple[str, int], tuple[int, int]]


def find(
  info: lerobot_info.Info,
  cameras: Sequence[str],
  episodes: Sequence[lerobot_episode.Episode],
  rows: Mapping[int, columns.Rows],
  ledger: lerobot_episode.Ledger,
) -> Footage:
  """Returns where the pictures of each camera are; the ledger gets the rest."""
  files: dict[str, list[video.Video | str]] = {}
  at = {}
  for name in cameras:
    files[name], places = _find(info, name, episodes, rows, ledger)
    at.update({(name, number): place for number, place in places.items()})
  return Footage(files, at)


def _find(
  info: lerobot_info.Info,
  name: str,
  episodes: Sequence[lerobot_episode.Episode],
  rows: Mapping[int, columns.Rows],
  ledger: lerobot_episode.Ledger,
) -> tuple[list[video.Video | str], dict[int, tuple[int, int]]]:
  """Returns the files of a camera; by episode, which one and from where on."""
  files: list[video.Video | str] = []
  at: dict[int, tuple[int, int]] = {}
  opened: dict[str, int | str] = {}
  for episode in episodes:
    clip = episode.clips.get(name) or lerobot_episode.Clip(
      episode.data, rows[episode.number].first
    )
    if clip.path not in opened:
      try:
        files.append(_open_file(info, name, clip))
        opened[clip.path] = len(files) - 1
      except errors.UserError as error:
        opened[clip.path] = str(error)
    which = opened[clip.path]
    try:
      if isinstance(which, str):
        raise errors.UserError(which)
      # columns of pictures tell nothing of sizes: one is looked at
      _check(info, name, clip, episode.length, files[which], not at)
      at[episode.number] = (which, clip.first)
    except errors.UserError as error:
      ledger.add(episode.number, str(error))
  return files, at


def _open_file(
  info: lerobot_info.Info, name: str, clip: lerobot_episode.Clip
) -> video.Video | str:
  camera = info.cameras[name]
  path = str(inside.resolve(info.root, clip.path))
  if camera.kind == "image":
    return path
  try:
    found = video.probe(path)
    video.check(found, camera.height, camera.width, info.fps)
  except video.BrokenError as error:
    raise _fault(info, name, clip, str(error)) from error
  return found


def _check(
  info: lerobot_info.Info,
  name: str,
  clip: lerobot_episode.Clip,
  length: int,
  file: video.Video | str,
  look: bool,
) -> None:
  """Raises UserError where a file has not the pictures of an episode."""
  end = clip.first + length
  if isinstance(file, video.Video):
    if len(file) < end:
      reason = f"{len(file)} frames, the episode ends after {end}"
      raise _fault(info, name, clip, reason)
  elif look:
    camera = info.cameras[name]
    out = np.empty((camera.height, camera.width, 3), np.uint8)
    try:
      groups = parquet_images.Groups(info.root)
      groups.read(file, name, [clip.first], [out])
    except parquet_images.BrokenError as error:
      raise _fault(info, name, clip, f"frame 0: {error}") from error


def _fault(
  info: lerobot_info.Info, name: str, clip: lerobot_episode.Clip, reason: str
) -> errors.UserError:
  return errors.UserError(f"{info.root / clip.path}: camera '{name}': {reason}")


def opener(
  info: lerobot_info.Info,
  footage: Footage,
  numbers: Int[np.ndarray, " E"],
  lengths: Int[np.ndarray, " E"],
) -> Callable[[Sequence[str]], base.Images]:
  """Returns what opens cameras by name, for the episodes of these numbers."""
  sources = {
    name: _source(info.cameras[name], name, files, footage, numbers)
    for name, files in footage.files.items()
  }
  return functools.partial(_open_images, info.root, sources, numbers, lengths)


def _source(
  camera: lerobot_info.Camera,
  name: str,
  files: Sequence[video.Video | str],
  footage: Footage,
  numbers: np.ndarray,
) -> lerobot_images.Source:
  at = [footage.at[name, number] for number in numbers.tolist()]
  return lerobot_images.Source(
    height=camera.height,
    width=camera.width,
    files=tuple(files),
    file_of=np.array([file for file, _ in at], np.int64),
    first_of=np.array([first for _, first in at], np.int64),
    column=name,
  )


def _open_images(
  root: pathlib.Path,
  sources: Mapping[str, lerobot_images.Source],
  numbers: np.ndarray,
  lengths: np.ndarray,
  cameras: Sequence[str],
) -> base.Images:
  for name in cameras:
    if name not in sources:
      raise errors.unknown(f"camera of '{root}'", name, sources)
  chosen = {name: sources[name] for name in cameras}
  return lerobot_images.Reader(root, chosen, numbers, lengths)
