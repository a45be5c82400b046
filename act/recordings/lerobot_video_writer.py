"""Videos as LeRobot writes them, an episode each, and their concatenation."""

import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import av
import numpy as np
from jaxtyping import UInt8

# `lerobot.configs.video.VideoEncoderConfig`: every other frame is a key frame.
# One thread an encoder, because every worker has its own.
_ENCODERS = {
  "av1": (
    "libsvtav1",
    {
      "g": "2",
      "crf": "30",
      "preset": "12",
      "svtav1-params": "fast-decode=0:lp=1",
    },
  ),
  "h264": ("libx264", {"g": "2", "crf": "30", "bf": "0", "threads": "1"}),
}
CODECS = tuple(_ENCODERS)


class VideoWriter:
  """Encodes frames into the mp4 at `path`."""

  def __init__(
    self, path: pathlib.Path, codec: str, fps: int, height: int, width: int
  ):
    os.environ.setdefault("SVT_LOG", "1")  # which else tells all its settings
    name, options = _ENCODERS[codec]
    self._container = av.open(str(path), "w", format="mp4")
    try:
      self._stream = cast(
        av.VideoStream,
        self._container.add_stream(name, fps, options=options),
      )
    except BaseException:
      self._container.close()
      raise
    self._stream.pix_fmt = "yuv420p"
    self._stream.height, self._stream.width = height, width

  def add(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Appends a frame."""
    frame = av.VideoFrame.from_ndarray(
      np.ascontiguousarray(image), format="rgb24"
    )
    self._container.mux(self._stream.encode(frame))

  def finish(self) -> None:
    """Writes what the encoder still holds."""
    self._container.mux(self._stream.encode())

  def close(self) -> None:
    """Closes the file."""
    self._container.close()


def decode(
  path: pathlib.Path, fps: int
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
  """Yields the frames of a video; RuntimeError if one is not in its place."""
  with av.open(str(path)) as container:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    for number, frame in enumerate(container.decode(stream)):
      if round((frame.time or 0.0) * fps) != number:
        raise RuntimeError(f"{path}: frame {number} is at {frame.time} s")
      yield frame.to_ndarray(format="rgb24")


def concatenate(
  parts: Sequence[pathlib.Path],
  path: pathlib.Path,
  lengths: Sequence[int],
  fps: int,
) -> None:
  """Writes the videos one after the other, without encoding them anew.

  Raises:
    RuntimeError: the result does not hold the very packets of its parts, each
      in its place.
  """
  expected = hashlib.sha256()
  first, stream = 0, None
  with av.open(
    str(path), "w", format="mp4", options={"movflags": "faststart"}
  ) as output:
    for part, length in zip(parts, lengths, strict=True):
      with av.open(str(part)) as source:
        template = source.streams.video[0]
        if stream is None:
          stream = output.add_stream_from_template(template, opaque=True)
        for packet in _packets(source):
          expected.update(bytes(packet))
          packet.pts += round(first / fps / packet.time_base)
          packet.dts += round(first / fps / packet.time_base)
          packet.stream = stream
          output.mux(packet)
      first += length
  found = hashlib.sha256()
  with av.open(str(path)) as result:
    for number, packet in enumerate(_packets(result)):
      found.update(bytes(packet))
      if round(packet.pts * packet.time_base * fps) != number:
        raise RuntimeError(f"{path}: frame {number} is elsewhere")
  if found.digest() != expected.digest():
    raise RuntimeError(f"{path}: not what it was made of")


def _packets(container: Any) -> Iterator[Any]:
  for packet in container.demux(container.streams.video[0]):
    if packet.dts is not None:  # else the end
      yield packet
