"""Pictures for a page: made small, and written as PNG."""

import base64
import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def smaller(picture: np.ndarray, side: int) -> np.ndarray:
  """Returns the picture with no side longer, by means over whole blocks."""
  block = -(-max(picture.shape[:2]) // side)
  if block == 1:
    return picture
  height, width = (max(length // block, 1) for length in picture.shape[:2])
  rows = np.array_split(picture[: height * block], height, axis=0)
  thin = np.stack([row.mean(axis=0) for row in rows])
  columns = np.array_split(thin[:, : width * block], width, axis=1)
  return np.stack([x.mean(axis=1) for x in columns], axis=1).astype(np.uint8)


def data_uri(picture: np.ndarray) -> str:
  """Returns uint8 [H, W, 1 or 3] as the address of an image in a page."""
  return f"data:image/png;base64,{base64.b64encode(encode(picture)).decode()}"


def encode(picture: np.ndarray) -> bytes:
  """Returns the bytes of a PNG file."""
  height, width, channels = picture.shape
  kind = {1: 0, 3: 2}[channels]  # grey, true colour
  left = np.zeros_like(picture)
  left[:, 1:] = picture[:, :-1]
  # filter 1: each pixel less the one to its left, which compresses better
  lines = (picture - left).reshape(height, width * channels)
  lines = np.pad(lines, ((0, 0), (1, 0)), constant_values=1)
  head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
  return (
    _SIGNATURE
    + _chunk(b"IHDR", head)
    + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
    + _chunk(b"IEND", b"")
  )


def _chunk(name: bytes, content: bytes) -> bytes:
  check = zlib.crc32(name + content)
  return (
    struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
  )
