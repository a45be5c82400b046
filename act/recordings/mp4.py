"""The order in which the frames of an MP4 are shown, from its tables.

Frames are stored in the order of decoding. Those that refer to later ones are
shown earlier; the box `ctts` (ISO/IEC 14496-12, 8.6.1.3) tells by how much.
PyAV gives everything else of the tables, but not this.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from jaxtyping import Int

_LARGEST_TABLES = 1 << 28  # bytes; 20 a frame
_PATH = (b"mdia", b"minf", b"stbl", b"ctts")


def composition_offsets(file: BinaryIO, count: int) -> Int[np.ndarray, " N"]:
  """Returns what to add to the time of decoding for the time of showing.

  Raises:
    ValueError: the tables are damaged.
  """
  tables = _movie(file)
  for track in _children(tables, b"trak"):
    media = next(_children(track, b"mdia"), b"")
    handler = next(_children(media, b"hdlr"), b"")
    if handler[8:12] == b"vide":
      return _offsets(track, count)
  raise ValueError("no video track")


def _offsets(track: bytes, count: int) -> Int[np.ndarray, " N"]:
  for kind in _PATH:
    track = next(_children(track, kind), b"")
  if not track:
    return np.zeros(count, np.int64)
  if len(track) < 8:
    raise ValueError("a damaged ctts box")
  (entries,) = struct.unpack(">I", track[4:8])
  if len(track) < 8 + 8 * entries:
    raise ValueError("a damaged ctts box")
  pairs = np.frombuffer(track, ">i4", 2 * entries, 8).reshape(-1, 2)
  repeats = pairs[:, 0].astype(np.int64)
  if (repeats < 0).any() or repeats.sum() != count:
    raise ValueError(f"a ctts box for {repeats.sum()} frames of {count}")
  return np.repeat(pairs[:, 1].astype(np.int64), repeats)


def _movie(file: BinaryIO) -> bytes:
  """Returns the content of the box that holds the tables."""
  position = 0
  while True:
    file.seek(position)
    head = file.read(16)
    if len(head) < 8:
      raise ValueError("no moov box")
    size, kind = struct.unpack(">I4s", head[:8])
    skip = 8
    if size == 1 and len(head) == 16:
      size, skip = struct.unpack(">Q", head[8:])[0], 16
    if kind == b"moov":
      if not skip <= size <= _LARGEST_TABLES:
        raise ValueError(f"a moov box of {size} bytes")
      file.seek(position + skip)
      return file.read(size - skip)
    if size < skip:
      raise ValueError("no moov box")
    position += size


def _children(box: bytes, wanted: bytes) -> Iterator[bytes]:
  position = 0
  while position + 8 <= len(box):
    size, kind = struct.unpack_from(">I4s", box, position)
    if size < 8:
      return
    if kind == wanted:
      yield box[position + 8 : position + size]
    position += size
