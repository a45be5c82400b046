"""Opens the episodes of the original ACT, `episode_N.hdf5`.

    /observations/qpos, qvel, effort    [T, D]; qpos must be there
    /observations/images/CAMERA         uint8 [T, H, W, 3], or [T, bytes]: a
                                        JPEG each, padded with zeros
    /action, /base_action               [T, D]; action must be there

(https://github.com/tonyzhaozh/act, record_sim_episodes.py; aloha's
record_episodes.py writes the JPEGs.) The rate is the attribute `fps` where
there is one, else 50: DT = 0.02 in the original's constants.py.

cv2 wrote the JPEGs of RGB arrays as if they were BGR, and gives the arrays back
when it reads them; so does this, where other programs show red as blue.

Letters: B frames asked for, D dimensions, H, W image, T frames of an episode.
"""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from act.recordings import aloha_files, aloha_images, base, hdf5_file, remedy
from act.recordings import place as place_lib
from carnet import errors

_FPS = 50.0
_VECTORS = {
  "qpos": "observations/qpos",
  "qvel": "observations/qvel",
  "effort": "observations/effort",
  "action": "action",
  "base_action": "base_action",
}
_NEEDED = ("qpos", "action")
_ARM = (
  *("waist", "shoulder", "elbow"),
  *("forearm_roll", "wrist_angle", "wrist_rotate", "gripper"),
)
# constants.py of the original: the left arm, then the right one
_JOINTS = tuple(
  f"{side}_{joint}" for side in ("left", "right") for joint in _ARM
)


@dataclasses.dataclass(frozen=True)
class _Episode:
  """What is read of a file when it is opened."""

  file: aloha_files.File
  vectors: dict[str, np.ndarray]
  cameras: dict[str, aloha_images.Stored]
  others: dict[str, aloha_images.Stored]  # nobody asked for
  fps: float | None
  seen: str  # digest of the file's size and the ends of its pictures

  @property
  def length(self) -> int:
    return len(self.vectors["action"])

  @property
  def layout(self) -> tuple[tuple[str, Any], ...]:
    """Returns what must be the same in every episode."""
    widths = {name: x.shape[1] for name, x in self.vectors.items()}
    return (*sorted(widths.items()), *sorted(self.cameras.items()))


def open(place: str, options: base.Options) -> base.Recording:
  """Opens a file, or the files of a directory in the order of their numbers.

  Raises:
    UserError: naming the file and the episode that is unsound.
  """
  path = place_lib.find(place)
  files = list(aloha_files.find(path))
  if not 0 <= options.episodes <= len(files):
    raise errors.UserError(
      f"config.dataset.episodes={options.episodes}, but '{path}' holds "
      f"{len(files)}"
    )
  files = files[: options.episodes or len(files)]
  skipped: dict[aloha_files.File, str] = {}
  found: list[_Episode] = []
  for file in files:
    try:
      found.append(_read(file, path, options.cameras))
    except ValueError as error:
      _refuse(file, _one_line(error), options.skip_bad, skipped)
  usual = _usual([x.layout for x in found])
  for episode in tuple(found):
    if reason := _difference(episode.layout, usual):
      _refuse(episode.file, reason, options.skip_bad, skipped)
      found.remove(episode)
  if not found:
    raise errors.UserError(f"{path}: no episode is sound; {_first(skipped)}")
  return _recording(place, path, found, skipped)


def _refuse(
  file: aloha_files.File,
  reason: str,
  skip: bool,
  skipped: dict[aloha_files.File, str],
) -> None:
  if not skip:
    raise errors.UserError(f"{file}: {reason}; {remedy.SKIP_BAD}")
  skipped[file] = reason


def _one_line(error: ValueError) -> str:
  return " ".join(str(error).split())


def _first(skipped: Mapping[aloha_files.File, str]) -> str:
  file, reason = next(iter(skipped.items()))
  return f"{file.label(file.path.name)}: {reason}"


def _read(
  file: aloha_files.File, root: pathlib.Path, cameras: Sequence[str] | None
) -> _Episode:
  """Returns an episode; ValueError when it is unsound by itself."""
  within = root.resolve() if root.is_dir() else root.resolve().parent
  resolved = file.path.resolve()
  if not resolved.is_relative_to(within):
    raise ValueError("a link out of the directory, which is refused")
  if not resolved.is_file():
    raise ValueError("no plain file")
  with hdf5_file.reading(resolved) as opened:
    vectors = dict(_vectors(opened))
    length = len(vectors["action"])
    seen = hashlib.sha256(str(resolved.stat().st_size).encode())
    stored: dict[str, aloha_images.Stored] = {}
    others: dict[str, aloha_images.Stored] = {}
    for name in hdf5_file.members(opened, aloha_images.GROUP):
      needed = cameras is None or name in cameras
      try:
        how, ends = aloha_images.examine(opened, name, length)
      except ValueError:
        if needed:
          raise
        continue
      (stored if needed else others)[name] = how
      seen.update(ends)
    fps = _fps(opened)
    return _Episode(file, vectors, stored, others, fps, seen.hexdigest())


def _vectors(opened: Any) -> Iterator[tuple[str, np.ndarray]]:
  length = None
  for name, path in _VECTORS.items():
    dataset = hdf5_file.find(opened, path)
    if dataset is None:
      if name in _NEEDED:
        raise ValueError(f"there is no /{path}")
      continue
    values = hdf5_file.vector(dataset)
    length = len(values) if length is None else length
    if len(values) != length:
      raise ValueError(f"/{path} has {len(values)} frames, qpos has {length}")
    if length < 2:
      raise ValueError(f"an episode of {length} frames")
    if not np.isfinite(values).all():
      frame, dimension = np.argwhere(~np.isfinite(values))[0]
      raise ValueError(
        f"/{path} is {values[frame, dimension]} in frame {frame}, "
        f"dimension {dimension}"
      )
    yield name, values


def _fps(opened: Any) -> float | None:
  told = opened.attrs.get("fps")
  if isinstance(told, (int, float, np.number)) and 0 < float(told) < 10_000:
    return float(told)
  return None


def _usual(layouts: Sequence[Any]) -> Any:
  """Returns the layout that most episodes have, the earliest of equals."""
  counts = collections.Counter(layouts)
  return counts.most_common(1)[0][0] if counts else None


def _difference(layout: Any, usual: Any) -> str:
  """Returns how an episode differs from the others; "" if it does not."""
  mine, others = dict(layout), dict(usual)
  for name in dict.fromkeys([*others, *mine]):
    kind = "camera" if isinstance((others | mine)[name], tuple) else "vector"
    if name not in mine:
      return f"no {kind} '{name}', which other episodes have"
    if name not in others:
      return f"a {kind} '{name}', which other episodes lack"
    if mine[name] != others[name]:
      return f"{kind} '{name}' is {mine[name]}, elsewhere {others[name]}"
  return ""


def _recording(
  place: str,
  path: pathlib.Path,
  found: Sequence[_Episode],
  skipped: Mapping[aloha_files.File, str],
) -> base.Recording:
  lengths = np.array([x.length for x in found], np.int64)
  rates = {x.fps for x in found}
  if len(rates) > 1:
    raise errors.UserError(f"{path}: episodes at several rates, {rates}")
  fps = rates.pop()
  stored = dict(found[0].cameras)
  for episode in found:
    stored = episode.others | stored
  stored = dict(sorted(stored.items()))
  vectors = {
    name: np.concatenate([x.vectors[name] for x in found])
    for name in found[0].vectors
  }

  def open_images(names: Sequence[str]) -> base.Images:
    for name in names:
      if name not in stored:
        raise errors.unknown(f"camera of {path}", name, stored)
    return aloha_images.Reader(
      tuple(x.file.path.resolve() for x in found),
      tuple(x.file.number for x in found),
      lengths,
      {name: stored[name] for name in names},
    )

  return base.Recording(
    origin=f"hdf5:{place}",
    path=path,
    identity=path.resolve().name,
    format="HDF5 of the original ACT",
    revision=_digest(found, vectors),
    fps=fps or _FPS,
    cameras={
      name: base.Camera(height=x.height, width=x.width)
      for name, x in stored.items()
    },
    vectors={
      name: base.Vector(x, _JOINTS if x.shape[1] == len(_JOINTS) else ())
      for name, x in vectors.items()
    },
    lengths=lengths,
    episodes=np.array([x.file.number for x in found], np.int64),
    tasks=("",) * len(found),
    statistics={},
    skipped=tuple(base.Skipped(x.number, why) for x, why in skipped.items()),
    details={
      "fps": "told by the files" if fps else "DT = 0.02 of the original ACT",
      "encoding": {n: "jpeg" if x.jpeg else "raw" for n, x in stored.items()},
      "revision": "SHA-256 of names, sizes, vectors, and each camera's first "
      "and last picture",
    },
    open_images=open_images,
  )


def _digest(
  found: Sequence[_Episode], vectors: Mapping[str, np.ndarray]
) -> str:
  digest = hashlib.sha256()
  for episode in found:
    told = f"{episode.file.path.name} {episode.length} {episode.seen}\n"
    digest.update(told.encode())
  for name, values in vectors.items():
    digest.update(f"{name} {values.shape}\n".encode())
    digest.update(values.tobytes())
  return digest.hexdigest()
