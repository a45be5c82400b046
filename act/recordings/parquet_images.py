"""Pictures in Parquet: a column of {bytes, path}, PNG or JPEG.

A file is compressed in groups of rows, and to read one picture is to read its
group. The groups that were read last are kept, within a limit.
"""

import bisect
import collections
import io
import pathlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from act import reopening
from act.recordings import inside, remedy
from carnet import errors, extras

_KEPT_BYTES = 1 << 29
_LARGEST_PICTURE = 1 << 28  # bytes, compressed
_FORMATS = ("PNG", "JPEG")


class BrokenError(Exception):
  """A picture that cannot be read; `row` is the one, or None."""

  def __init__(self, reason: str, row: int | None = None) -> None:
    super().__init__(reason)
    self.row = row


class Groups(reopening.Reopening):
  """Reads pictures by row; picklable, safe to use from several threads."""

  made = ("_lock", "_locks", "_ends", "_kept")

  def __init__(self, root: pathlib.Path) -> None:
    self._root = root
    self._open()

  def _open(self) -> None:
    self._lock = threading.Lock()
    self._locks: dict[tuple[str, str], threading.Lock] = {}
    self._ends: dict[str, list[int]] = {}
    self._kept: collections.OrderedDict[tuple[str, str, int], Any]
    self._kept = collections.OrderedDict()

  def read(
    self, path: str, column: str, rows: Sequence[int], out: Sequence[np.ndarray]
  ) -> None:
    """Decodes ascending `rows` of a file into one [H, W, 3] image each.

    Raises:
      BrokenError: with the row that cannot be read.
    """
    for row, image in zip(rows, out, strict=True):
      try:
        decode(self._picture(path, column, row), image)
      except errors.UserError as error:
        raise BrokenError(str(error), row) from error
      except ValueError as error:
        raise BrokenError(f"{error}", row) from error

  def _picture(self, path: str, column: str, row: int) -> bytes:
    with self._lock:
      lock = self._locks.setdefault((path, column), threading.Lock())
    with lock:
      if path not in self._ends:
        self._ends[path] = _group_ends(path)
      ends = self._ends[path]
      group = bisect.bisect_right(ends, row)
      if group == len(ends):
        raise ValueError(f"a file of {ends[-1] if ends else 0} rows")
      pictures = self._group(path, column, group)
    entry = pictures[row - (ends[group - 1] if group else 0)].as_py() or {}
    if entry.get("bytes") is not None:
      return entry["bytes"]
    if not entry.get("path"):
      raise ValueError("no picture")
    name = entry["path"]
    if pathlib.PurePath(name).is_absolute():
      raise ValueError(f"no bytes, but a path elsewhere ('{name[:100]}')")
    return inside.read(self._root, name, _LARGEST_PICTURE)

  def _group(self, path: str, column: str, group: int) -> Any:
    key = (path, column, group)
    with self._lock:
      if key in self._kept:
        self._kept.move_to_end(key)
        return self._kept[key]
    pictures = _read_group(path, column, group)
    with self._lock:
      self._kept[key] = pictures
      size = sum(kept.nbytes for kept in self._kept.values())
      while size > _KEPT_BYTES and len(self._kept) > 1:
        _, dropped = self._kept.popitem(last=False)
        size -= dropped.nbytes
    return pictures


def decode(data: bytes, out: UInt8[np.ndarray, "H W 3"]) -> None:
  """Decodes a PNG or a JPEG; ValueError when it is broken or misshapen."""
  from PIL import Image

  height, width = out.shape[:2]
  try:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
      # the size stands in the header: nothing is unpacked before
      if image.size != (width, height):
        raise ValueError(
          f"a picture of {image.height}x{image.width}, info.json says "
          f"{height}x{width}"
        )
      out[...] = np.asarray(image.convert("RGB"))
  except (
    *(OSError, SyntaxError),  # Pillow's words for a broken file
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
  ) as error:
    reason = remedy.cause(error)
    raise ValueError(f"no readable picture ({reason})") from error


def _group_ends(path: str) -> list[int]:
  with _open(path) as file:
    metadata = file.metadata
    sizes = [
      metadata.row_group(group).num_rows
      for group in range(metadata.num_row_groups)
    ]
  return np.cumsum(sizes).tolist()


def _read_group(path: str, column: str, group: int) -> Any:
  with _open(path) as file:
    try:
      return file.read_row_group(group, columns=[column]).column(column)
    except (OSError, ValueError, KeyError) as error:
      text = " ".join(str(error).split())[:200]
      raise ValueError(f"no readable Parquet file ({text})") from error


def _open(path: str) -> Any:
  parquet: Any = extras.load("pyarrow.parquet", "data")
  try:
    return parquet.ParquetFile(path)
  except (OSError, ValueError) as error:
    text = " ".join(str(error).split())[:200]
    raise ValueError(f"no readable Parquet file ({text})") from error
