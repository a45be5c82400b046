"""Files of a step, compared with the rows of its manifest."""

import concurrent.futures
import os
import pathlib
import stat
from collections.abc import Callable, Iterable
from typing import Any

from carnet.checkpoint import digest, documents, faults, manifest, plain_file

# Orbax's metadata stays below this; array data is checked leaf by leaf.
SMALL_BYTES = 1 << 20


def file_fault(root: pathlib.Path, file: manifest.File, hashed: bool) -> str:
  """Returns what is wrong with a file of the step at `root`, or nothing."""
  try:
    path = root / file.path
    status = os.lstat(path)
    # Nothing in the checkpoint may point out of it, nor to a device.
    if path.resolve() != root.resolve() / file.path:
      return f"{file.path} is behind a link"
    if not stat.S_ISREG(status.st_mode):
      return f"{file.path} is not a plain file"
    if status.st_size != file.size_bytes:
      return f"{file.path} has {status.st_size} bytes of {file.size_bytes}"
    if hashed and digest.file(path) != file.sha256:
      return f"{file.path} differs from its sha256"
  except OSError as error:
    return f"{file.path} is unreadable: {error.strerror}"
  return ""


def document(
  root: pathlib.Path, file: manifest.File, hashed: bool = True
) -> Any:
  """Returns the value of a JSON file of the step at `root`.

  Raises:
    CorruptError: the file is not what was written.
  """
  fault = file_fault(root, file, hashed)
  if fault:
    raise faults.CorruptError(f"{root}: {fault}")
  path = root / file.path
  return documents.decode(plain_file.read(path), str(path))


def refuse(path: pathlib.Path, found: Iterable[str]) -> None:
  """Raises CorruptError about a step, with all faults that are not empty."""
  listed = [fault for fault in found if fault]
  if listed:
    raise faults.CorruptError(f"{path} is damaged: {'; '.join(listed)}")


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list:
  """Returns the function of each item; hashing uses all cores."""
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(function, items))
