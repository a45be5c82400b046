"""A digest of a LeRobotDataset in a directory, which no commit stands for.

SHA-256 over, for each file in the order of the paths: the path below the root,
the size, and the content. Metadata and numbers (`meta/`, `data/`) count whole.
Of videos and pictures it is the first and the last MiB: the tables of an MP4,
with the size of every frame, are in one of them, and a terabyte is not read to
open a dataset. A change in the middle of a video that keeps every size is not
seen.
"""

import hashlib
import os
import pathlib
from concurrent import futures

from act.recordings import inside
from carnet import errors

_WHOLE = ("meta", "data")
_PARTLY = ("videos", "images")
_ENDINGS = (".parquet", ".json", ".jsonl", ".mp4", ".png", ".jpg", ".jpeg")
_PART = 1 << 20


def digest(root: pathlib.Path) -> str:
  """Returns the digest, in hexadecimal, with the prefix "sha256:"."""
  names = [
    (name, folder in _WHOLE)
    for folder in (*_WHOLE, *_PARTLY)
    for name in inside.names(root, folder)
    if name.lower().endswith(_ENDINGS)
  ]
  total = hashlib.sha256()
  with futures.ThreadPoolExecutor() as pool:
    entries = pool.map(lambda pair: _entry(root, *pair), names)
    for entry in entries:
      total.update(entry)
  return f"sha256:{total.hexdigest()}"


def _entry(root: pathlib.Path, name: str, whole: bool) -> bytes:
  """Returns what a file adds to the digest."""
  try:
    content, size = _content(inside.resolve(root, name), whole)
  except errors.UserError:
    content, size = b"", 0  # a link to elsewhere, which nothing reads
  except OSError as error:
    raise errors.UserError(f"{root / name}: {error.strerror}") from error
  return os.fsencode(f"{name}\0{size}\0") + content


def _content(path: pathlib.Path, whole: bool) -> tuple[bytes, int]:
  """Returns the digest of what counts of a file, and its size."""
  size = path.stat().st_size
  with path.open("rb") as file:
    if whole or size <= 2 * _PART:
      return hashlib.file_digest(file, "sha256").digest(), size
    part = hashlib.sha256(file.read(_PART))
    file.seek(size - _PART)
    part.update(file.read(_PART))
  return part.digest(), size
