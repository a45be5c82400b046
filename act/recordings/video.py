"""The tables of an MP4: where each frame lies, and which ones stand alone.

The k-th frame is the k-th that is shown, whatever its timestamp.

Letters: N frames of the file, in the order in which they are stored.
"""

import dataclasses
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int

from act.recordings import mp4, remedy
from carnet import extras

# What LeRobot writes, and no more: libav knows hundreds, and one that is not
# tested here may need more than the frames themselves, as MPEG-4 part 2 does.
_CODECS = ("av1", "h264", "hevc")
_DECODERS = {"libdav1d": "av1"}
_FRAME_RATE_TOLERANCE = 0.02


class BrokenError(Exception):
  """A video that cannot be read; `frame` is the index of the one, or None."""

  def __init__(self, reason: str, frame: int | None = None) -> None:
    super().__init__(reason)
    self.frame = frame


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
  """What a file tells about its frames; `probe` reads it.

  Attributes:
    path: of the file.
    decoder: libav's name.
    extradata: what the decoder needs before the first frame.
    colors: range, primaries, transfer and matrix, by libav's numbers.
    width: pixels.
    height: pixels.
    positions: of the frames in the file, bytes.
    sizes: of the frames, bytes.
    starts: from which frame on each is decoded.
    order: the frames that are shown, in that order.
    frames_per_second: on average; None with less than two frames.
  """

  path: str
  decoder: str
  extradata: bytes | None
  colors: tuple[int, int, int, int]
  width: int
  height: int
  positions: Int[np.ndarray, " N"]
  sizes: Int[np.ndarray, " N"]
  starts: Int[np.ndarray, " N"]
  order: Int[np.ndarray, " shown"]
  frames_per_second: float | None

  def __len__(self) -> int:
    """Returns how many frames are shown."""
    return len(self.order)

  def start(self, frame: int) -> int:
    """Returns the stored frame from which on to decode the shown `frame`."""
    return int(self.starts[self.order[frame]])


def probe(path: str) -> Video:
  """Returns the tables of a file, after a look at whether they can be true.

  Raises:
    BrokenError: it is no MP4 that can be read, or ends too early.
  """
  av: Any = extras.load("av", "data")
  try:
    # the format is given: libav would open playlists that name other files
    with open(path, "rb") as file, av.open(file, format="mp4") as container:
      return _probe(path, file, container)
  except (av.error.FFmpegError, OSError, ValueError) as error:
    raise BrokenError(f"no readable MP4 ({remedy.cause(error)})") from error


def _probe(path: str, file: BinaryIO, container: Any) -> Video:
  if not container.streams.video:
    raise BrokenError("no video in it")
  stream = container.streams.video[0]
  context = stream.codec_context
  name = context.codec.name if context else "unknown"
  if _DECODERS.get(name, name) not in _CODECS:
    raise BrokenError(f"codec {name}: known are {', '.join(_CODECS)}")
  # plain numbers now: an entry refers to memory that closing gives back
  table = np.array(
    [
      (e.pos, e.size, e.timestamp, e.is_keyframe, e.is_discard)
      for e in stream.index_entries
    ],
    np.int64,
  ).reshape(-1, 5)
  positions, sizes, times, keyframes, hidden = table.T
  if not len(table):
    raise BrokenError("no frames in it")
  end = file.seek(0, 2)
  missing = int(np.count_nonzero((positions + sizes > end) | (positions < 0)))
  if missing:
    raise BrokenError(
      f"truncated: {missing} of {len(table)} frames lie beyond its {end} bytes"
    )
  times = times + mp4.composition_offsets(file, len(table))
  shown = np.flatnonzero(hidden == 0)
  order = shown[np.argsort(times[shown], kind="stable")]
  starts = _starts(np.flatnonzero(keyframes), times)
  if lost := int(np.count_nonzero(starts[order] < 0)):
    raise BrokenError(f"{lost} frames before the first keyframe")
  return Video(
    path=path,
    decoder=name,
    extradata=context.extradata,
    colors=(
      context.color_range,
      context.color_primaries,
      context.color_trc,
      context.colorspace,
    ),
    width=context.width,
    height=context.height,
    positions=positions.copy(),
    sizes=sizes.copy(),
    starts=starts,
    order=order,
    frames_per_second=_rate(times[order], float(stream.time_base)),
  )


def check(video: Video, height: int, width: int, fps: float) -> None:
  """Raises BrokenError where a video is not what the metadata say."""
  if (video.height, video.width) != (height, width):
    raise BrokenError(
      f"frames of {video.height}x{video.width}, info.json says {height}x{width}"
    )
  rate = video.frames_per_second
  if rate is not None and abs(rate / fps - 1) > _FRAME_RATE_TOLERANCE:
    raise BrokenError(f"{rate:.4g} frames a second, info.json says {fps:g}")


def _starts(
  keyframes: Int[np.ndarray, " K"], times: Int[np.ndarray, " N"]
) -> Int[np.ndarray, " N"]:
  """Returns the last keyframe stored and shown before each frame, or -1.

  One that is stored after a keyframe and shown before it may refer to frames
  before both.
  """
  candidates = np.append(keyframes, -1)  # what index -1 gives
  which = np.searchsorted(keyframes, np.arange(len(times)), side="right") - 1
  while True:
    starts = candidates[which]
    late = (starts >= 0) & (times[starts] > times)
    if not late.any():
      return starts
    which[late] -= 1


def _rate(times: np.ndarray, unit: float) -> float | None:
  span = float(times[-1] - times[0]) * unit if len(times) else 0.0
  return (len(times) - 1) / span if span > 0 else None
