"""Decodes frames of videos by index.

A frame is read by offset, from the last keyframe before it on, with a decoder
that no open file belongs to: there is nothing to seek, to share or to keep
open, and a decoder that is idle serves the next file of the same kind.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8

from act import reopening
from act.recordings import remedy
from act.recordings import video as video_lib
from carnet import extras

_KEPT_DECODERS = 32
_PADDING = 128  # pixels; codecs round sizes up


class Decoders(reopening.Reopening):
  """Decodes frames; picklable, safe to use from several threads."""

  made = ("_lock", "_idle")

  def __init__(self) -> None:
    self._open()

  def _open(self) -> None:
    self._lock = threading.Lock()
    self._idle: list[tuple[Any, Any, Any]] = []

  def read(
    self,
    video: video_lib.Video,
    frames: Sequence[int],
    out: Sequence[np.ndarray],
  ) -> None:
    """Decodes the shown `frames`, ascending, into one [H, W, 3] image each.

    Raises:
      BrokenError: with the frame that cannot be decoded.
    """
    size = (video.height, video.width)
    key = (video.decoder, video.extradata, video.colors, size)
    context, converter = self._take(key)
    images = dict(zip(frames, out, strict=True))
    av: Any = extras.load("av", "data")
    pending = list(frames)
    try:
      with open(video.path, "rb", buffering=0) as file:
        for run in runs(video, frames):
          for frame, picture in _decode(context, video, run, file):
            _convert(converter, picture, images[frame])
            pending.remove(frame)
          context.flush_buffers()
    except video_lib.BrokenError as error:
      raise video_lib.BrokenError(str(error), pending[0]) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
      raise video_lib.BrokenError(
        f"cannot be decoded ({remedy.cause(error)})", pending[0]
      ) from error
    # one that failed is not used again
    with self._lock:
      self._idle = [*self._idle, (key, context, converter)][-_KEPT_DECODERS:]

  def _take(self, key: Any) -> tuple[Any, Any]:
    with self._lock:
      for place in reversed(range(len(self._idle))):
        if self._idle[place][0] == key:
          _, context, converter = self._idle.pop(place)
          return context, converter
    return _new_decoder(*key)


def runs(video: video_lib.Video, frames: Sequence[int]) -> list[list[int]]:
  """Returns ascending `frames`, together those that start at one keyframe."""
  out: list[list[int]] = []
  last = None
  for frame in frames:
    start = video.start(frame)
    if start == last:
      out[-1].append(frame)
    else:
      out.append([frame])
    last = start
  return out


def _decode(
  context: Any, video: video_lib.Video, frames: Sequence[int], file: BinaryIO
) -> Iterator[tuple[int, Any]]:
  """Yields the frames of one run, each with its picture."""
  import av

  wanted = {int(video.order[frame]): frame for frame in frames}
  for stored in [*range(video.start(frames[0]), max(wanted) + 1), None]:
    if not wanted:
      return
    packet = None
    if stored is not None:
      file.seek(int(video.positions[stored]))
      packet = av.Packet(file.read(int(video.sizes[stored])))
      packet.pts = stored  # comes back as that of the picture
    for picture in context.decode(packet):
      if picture.pts in wanted:
        if picture.is_corrupt:
          raise video_lib.BrokenError("damaged")
        yield wanted.pop(picture.pts), picture
  if wanted:
    raise video_lib.BrokenError("the decoder returned nothing for it")


def _convert(
  converter: Any, picture: Any, out: UInt8[np.ndarray, "H W 3"]
) -> None:
  """Writes what VideoFrame.to_ndarray(format="rgb24") returns."""
  if (picture.height, picture.width) != out.shape[:2]:
    raise video_lib.BrokenError(f"a frame of {picture.height}x{picture.width}")
  plane = converter.reformat(picture, format="rgb24").planes[0]
  rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
  out[:] = rows[: out.shape[0], : out.shape[1] * 3].reshape(out.shape)


def _new_decoder(
  name: str, extradata: bytes | None, colors: Sequence[int], size: Sequence[int]
) -> tuple[Any, Any]:
  import av

  context: Any = av.CodecContext.create(name, "r")
  if extradata:
    context.extradata = extradata
  # a frame may say that it is larger than its file does, and fill the memory
  most = (size[0] + _PADDING) * (size[1] + _PADDING)
  context.options = {"max_pixels": str(most)}
  # Frames come back at once; two groups of frames are decoded side by side
  # instead, which costs no CPU time.
  context.thread_count = 1
  context.color_range, context.color_primaries = colors[:2]
  context.color_trc, context.colorspace = colors[2:]
  return context, av.video.reformatter.VideoReformatter()
