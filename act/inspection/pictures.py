"""What the cameras show: nothing, the same for long, or another camera's view.

Letters: B frames looked at together, H, W image, h, w blocks of it.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from act.inspection import report, views
from act.recordings import base
from carnet import errors

_EPISODES, _FRAMES = 100, 8  # looked at, and in each, unless all are
_AT_ONCE = 32
_FROZEN_SECONDS, _FROZEN_FRAMES = 1.0, 10
_BLACK, _FLAT = 8.0, 2.0  # levels: mean, and deviation over the blocks
_MOST = 0.5  # of an episode, or of the episodes: more of it is severe


@dataclasses.dataclass
class _Camera:
  """What is kept of a camera while its episodes are read."""

  read: int = 0
  looked: dict[int, int] = dataclasses.field(default_factory=dict)
  total: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
  squares: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
  black: list[tuple[int, int]] = dataclasses.field(default_factory=list)
  flat: list[tuple[int, int]] = dataclasses.field(default_factory=list)
  frozen: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
  twins: dict[str, list[bool]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Looked:
  """What the cameras showed; `read` frames of each."""

  features: tuple[report.Feature, ...]
  findings: tuple[report.Finding, ...]
  read: int


def examine(
  recording: base.Recording,
  full: bool,
  progress: Callable[[int], None] = lambda done: None,
) -> Looked:
  """Looks at pictures of all cameras; `progress` hears of finished episodes."""
  found = {name: _Camera() for name in recording.cameras}
  faults: list[report.Finding] = []
  if found:
    images = recording.open_images(tuple(found))
    motion = views.motion(recording)
    for done, index in enumerate(chosen(recording, full)):
      number = int(recording.episodes[index])
      try:
        blocks = _blocks(recording, images, index, full, found)
      except errors.UserError as error:
        faults.append(_unreadable(number, str(error)))
      else:
        _compare(recording, number, index, *blocks, motion, found)
      progress(done + 1)
  for name, camera in found.items():
    faults.extend(_findings(recording, name, camera))
  features = [
    _feature(name, recording.cameras[name], camera)
    for name, camera in found.items()
  ]
  read = max((camera.read for camera in found.values()), default=0)
  return Looked(tuple(features), tuple(faults), read)


def chosen(recording: base.Recording, full: bool) -> list[int]:
  """Returns the episodes to look at, by their place."""
  count = len(recording.lengths)
  return views.spread(count, count if full else _EPISODES)


def _blocks(
  recording: base.Recording,
  images: base.Images,
  index: int,
  full: bool,
  found: dict[str, _Camera],
) -> tuple[Int[np.ndarray, " B"], dict[str, np.ndarray]]:
  """Returns the frames looked at in an episode, and the blocks they show."""
  length = int(recording.lengths[index])
  places = np.array(views.spread(length, length if full else _FRAMES))
  rows: dict[str, list[np.ndarray]] = {name: [] for name in found}
  for start in range(0, len(places), _AT_ONCE):
    frames = recording.first_frames[index] + places[start : start + _AT_ONCE]
    for name, pictures in images.read(frames).items():
      means = views.shrink(pictures)
      camera = found[name]
      camera.read += len(pictures)
      camera.total += pictures.mean(axis=(1, 2), dtype=np.float64).sum(axis=0)
      squares = np.square(pictures, dtype=np.float32)
      camera.squares += squares.mean(axis=(1, 2), dtype=np.float64).sum(axis=0)
      rows[name].append(means)
  return places, {name: np.concatenate(x) for name, x in rows.items()}


def _compare(
  recording: base.Recording,
  number: int,
  index: int,
  places: Int[np.ndarray, " B"],
  blocks: dict[str, np.ndarray],
  motion: Float[np.ndarray, "F D"] | None,
  found: dict[str, _Camera],
) -> None:
  """Notes what is odd in an episode."""
  seconds = (recording.fps or 0.0) * _FROZEN_SECONDS
  first = recording.first_frames[index]
  states = None if motion is None else motion[first + places]
  names = list(blocks)
  for position, name in enumerate(names):
    shown, camera = blocks[name], found[name]
    camera.looked[number] = len(shown)
    dark = shown.mean(axis=(1, 2, 3)) < _BLACK
    flat = shown.std(axis=(1, 2)).max(axis=1) < _FLAT
    camera.black += [(number, int(x)) for x in places[flat & dark]]
    camera.flat += [(number, int(x)) for x in places[flat & ~dark]]
    for start, end in views.runs(shown, states, flat):
      lasting = int(places[end] - places[start])
      if lasting >= max(seconds, _FROZEN_FRAMES):
        camera.frozen.append((number, int(places[start]), int(places[end])))
    for other in names[position + 1 :]:
      theirs = blocks[other]
      if shown.shape == theirs.shape and not flat.all():
        same = float(np.abs(shown - theirs).max()) < views.SAME
        camera.twins.setdefault(other, []).append(same)


def _findings(
  recording: base.Recording, name: str, camera: _Camera
) -> Iterator[report.Finding]:
  for kind, rows, said in (
    ("black camera", camera.black, "are black"),
    ("camera of one colour", camera.flat, "are of one colour"),
  ):
    if rows:
      yield _dark(name, kind, said, rows, camera)
  yield from _frozen(recording, name, camera)
  for other, same in camera.twins.items():
    if sum(same) > _MOST * len(same):
      yield report.Finding(
        kind="same view twice",
        severity="severe",
        said=f"It shows what '{other}' shows, in {sum(same)} episodes.",
        advice="One of them was recorded from the wrong device: leave one out.",
        feature=name,
      )


def _dark(
  name: str,
  kind: str,
  said: str,
  rows: list[tuple[int, int]],
  camera: _Camera,
) -> report.Finding:
  counts = collections.Counter(episode for episode, _ in rows)
  whole = [x for x, count in counts.items() if count == camera.looked[x]]
  episode, frame = rows[0]
  if whole:
    episode, frame = next(x for x in rows if x[0] == whole[0])
    said += f", all of {_listed(whole)}"
  return report.Finding(
    kind=kind,
    severity="severe" if whole else "warning",
    said=f"{len(rows)} of {camera.read} frames that were looked at {said}; "
    "this is the first.",
    advice="Look at the film: the lens was covered, or the camera was not "
    "there. Leave these episodes or the camera out.",
    feature=name,
    episode=episode,
    frame=frame,
  )


def _listed(episodes: Sequence[int]) -> str:
  shown = ", ".join(map(str, episodes[:8]))
  more = ", ..." if len(episodes) > 8 else ""
  return f"episode{'s' * (len(episodes) > 1)} {shown}{more}"


def _frozen(
  recording: base.Recording, name: str, camera: _Camera
) -> Iterator[report.Finding]:
  episodes = list(dict.fromkeys(number for number, _, _ in camera.frozen))
  if not episodes:
    return
  number, first, last = max(camera.frozen, key=lambda x: x[2] - x[1])
  seconds = ""
  if recording.fps:
    seconds = f" ({(last - first) / recording.fps:.1f} s)"
  length = int(recording.lengths[recording.episodes == number][0])
  long = last - first > _MOST * length
  several = ""
  if len(episodes) > 1:
    several = f" It happens in {_listed(episodes)}."
  yield report.Finding(
    kind="frozen camera",
    severity="severe" if long else "warning",
    said=f"It shows the same for {last - first} frames{seconds} while the "
    f"robot moves; this is the longest time.{several}",
    advice="Look at the film: either the stream hung, and the episodes are to "
    "be left out, or nothing that this camera sees moved.",
    feature=name,
    episode=number,
    frame=first,
    last_frame=last,
  )


def _unreadable(number: int, reason: str) -> report.Finding:
  return report.Finding(
    kind="unreadable pictures",
    severity="severe",
    said=reason,
    advice="Fetch the file again, or leave the episode out.",
    episode=number,
  )


def _feature(name: str, size: base.Camera, camera: _Camera) -> report.Feature:
  shape = (size.height, size.width, 3)
  if not camera.read:
    return report.Feature(name, "camera", shape)
  mean = camera.total / camera.read
  std = np.sqrt(np.maximum(camera.squares / camera.read - mean**2, 0.0))
  nan = float("nan")
  return report.Feature(
    name,
    "camera",
    shape,
    tuple(
      report.Dimension(
        colour, nan, nan, float(m) / 255, float(s) / 255, nan, nan, nan
      )
      for colour, m, s in zip(("red", "green", "blue"), mean, std, strict=True)
    ),
  )


def count(recording: base.Recording, full: bool) -> int:
  """Returns how many episodes `examine` looks at."""
  return len(chosen(recording, full)) if recording.cameras else 0
