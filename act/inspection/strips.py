"""Film strips: a few frames of some episodes, small enough for a page."""

import base64
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from act.inspection import report, views
from act.recordings import base
from carnet import errors

_LARGEST_BYTES = 4_000_000  # of all pictures together, before base64
# frames a strip, longest side and quality: the first that fits is taken
_SIZES = ((8, 192, 75), (8, 128, 70), (6, 96, 60), (4, 64, 50))
_EPISODES = 4
_WITH_FINDINGS = 4  # more, of which something was found
_MARKED = 4  # frames of an episode at which something was found


@dataclasses.dataclass(frozen=True)
class Frame:
  """A small picture; `number` is the frame's within its episode."""

  number: int
  marked: bool  # something was found there
  height: int
  width: int
  jpeg: bytes

  @property
  def address(self) -> str:
    """The picture as the address of an image in a page."""
    return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}"


@dataclasses.dataclass(frozen=True)
class Strip:
  """An episode in equal distances; `fault` says why there is none."""

  camera: str
  episode: int
  frames: tuple[Frame, ...]
  fault: str = ""


def cut(
  recording: base.Recording, findings: Sequence[report.Finding]
) -> tuple[Strip, ...]:
  """Returns strips of every camera, as large as fit into a page."""
  if not recording.cameras:
    return ()
  places = _places(recording, findings)
  strips = [
    strip
    for place in places
    for strip in _episode(
      recording, place, _odd(recording, place, findings), _SIZES[0]
    )
  ]
  for count, side, quality in _SIZES[1:]:
    if _bytes(strips) <= _LARGEST_BYTES:
      break
    strips = [_thinner(strip, count, side, quality) for strip in strips]
  order = list(recording.cameras)
  strips.sort(key=lambda strip: order.index(strip.camera))
  return tuple(strips)


def _places(
  recording: base.Recording, findings: Sequence[report.Finding]
) -> list[int]:
  numbers = recording.episodes.tolist()
  odd = [
    numbers.index(finding.episode)
    for finding in findings
    if finding.episode in numbers
  ]
  some = views.spread(len(numbers), _EPISODES)
  odd = [place for place in dict.fromkeys(odd) if place not in some]
  return sorted([*some, *odd[:_WITH_FINDINGS]])


def _odd(
  recording: base.Recording, place: int, findings: Sequence[report.Finding]
) -> dict[int, set[str]]:
  """Returns frames at which something was found, and in which features."""
  number, length = recording.episodes[place], recording.lengths[place]
  odd: dict[int, set[str]] = {}
  for x in findings:
    for frame in (x.frame, x.last_frame):
      if x.episode == number and frame is not None and 0 <= frame < length:
        if len(odd) < _MARKED:
          odd.setdefault(frame, set())
        if frame in odd:
          odd[frame].add(x.feature)
  return odd


def _episode(
  recording: base.Recording,
  place: int,
  odd: Mapping[int, set[str]],
  size: tuple[int, int, int],
) -> Iterator[Strip]:
  count, side, quality = size
  cameras = tuple(recording.cameras)
  episode = int(recording.episodes[place])
  usual = views.spread(int(recording.lengths[place]), count)
  positions = sorted({*usual, *odd})
  frames = recording.first_frames[place] + np.array(positions)
  try:
    read = recording.open_images(cameras).read(frames)
  except errors.UserError as error:
    yield from (Strip(x, episode, (), str(error)) for x in cameras)
    return
  for camera in cameras:
    others = {x for x in cameras if x != camera}
    small = [
      _small(
        position,
        bool(odd.get(position, set()) - others),
        Image.fromarray(picture),
        side,
        quality,
      )
      for position, picture in zip(positions, read[camera], strict=True)
    ]
    yield Strip(camera, episode, tuple(small))


def _small(
  number: int, marked: bool, image: Image.Image, side: int, quality: int
) -> Frame:
  image.thumbnail((side, side), Image.Resampling.BOX)
  buffer = io.BytesIO()
  image.save(buffer, "JPEG", quality=quality)
  return Frame(number, marked, image.height, image.width, buffer.getvalue())


def _thinner(strip: Strip, count: int, side: int, quality: int) -> Strip:
  kept = views.spread(len(strip.frames), count) if strip.frames else []
  frames = []
  for index in kept:
    frame = strip.frames[index]
    with Image.open(io.BytesIO(frame.jpeg), formats=("JPEG",)) as image:
      small = _small(frame.number, frame.marked, image, side, quality)
      frames.append(small)
  return dataclasses.replace(strip, frames=tuple(frames))


def _bytes(strips: Sequence[Strip]) -> int:
  return sum(len(frame.jpeg) for strip in strips for frame in strip.frames)
