"""Files of somebody else's checkpoint, each read once and remembered.

The digests of what was read go into the lineage of the imported checkpoint.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from act import numpy_pickle, torch_file
from carnet import errors
from carnet.checkpoint import digest, documents
from carnet.passport import shown

_LARGEST_JSON = 1 << 26  # bytes; a training configuration has some thousand
_LARGEST_TENSORS = torch_file.SIZE_LIMIT


class Files:
  """The files of one directory.

  Attributes:
    directory: where they are.
  """

  def __init__(self, directory: pathlib.Path) -> None:
    self.directory = directory
    self._digests: dict[str, str] = {}

  @property
  def digests(self) -> Mapping[str, str]:
    """Returns the sha256 of every file read, by its name."""
    return dict(sorted(self._digests.items()))

  def has(self, name: str) -> bool:
    """Tells whether there is a file of that name."""
    return os.path.isfile(self.directory / name)  # also of names too long

  def json(self, name: str, most_bytes: int = _LARGEST_JSON) -> dict[str, Any]:
    """Returns the table in a file of JSON; UserError where there is none."""
    path = self.note(name, most_bytes)
    try:
      found = documents.decode(path.read_bytes(), str(path))
    except OSError as error:
      raise errors.UserError(f"{path}: {error.strerror}") from error
    if not isinstance(found, dict):
      raise errors.UserError(f"{path} holds no JSON object")
    return found

  def tensors(self, name: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a .safetensors file; UserError as `json`."""
    path = self.note(name, _LARGEST_TENSORS)
    try:
      return safetensors.numpy.load_file(path)
    except (
      safetensors.SafetensorError,
      *(OSError, ValueError, KeyError, TypeError),
    ) as error:
      raise errors.UserError(f"{path}: cannot be read ({error})") from error

  def torch(self, name: str) -> dict[str, np.ndarray]:
    """Returns the tensors that torch.save wrote; UserError as `json`."""
    return torch_file.read(self.note(name, _LARGEST_TENSORS))

  def pickled(self, name: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a pickled dictionary; UserError as `json`."""
    return numpy_pickle.read(self.note(name, numpy_pickle.SIZE_LIMIT))

  def note(self, name: str, most_bytes: int = _LARGEST_TENSORS) -> pathlib.Path:
    """Remembers the digest of a file that is read; returns its path.

    Raises:
      UserError: it is not there, too large, or lies outside of the directory.
    """
    path = self.directory / name
    if not self.has(name):
      where = self.directory / shown.cut(name)
      raise errors.UserError(f"{where}: no such file")
    if not _inside(path.resolve(), self.directory):
      raise errors.UserError(f"{path} is a link out of its directory")
    size = path.stat().st_size
    if size > most_bytes:
      raise errors.UserError(
        f"{path} has {size} bytes: at most {most_bytes} are read"
      )
    self._digests[name] = digest.file(path)
    return path


def _inside(path: pathlib.Path, directory: pathlib.Path) -> bool:
  if path.is_relative_to(directory.resolve()):
    return True
  # a cache of huggingface_hub: snapshots/COMMIT/x is a link to ../../blobs/y
  above = directory.absolute().parents
  return any(
    root.name == "snapshots"
    and path.is_relative_to((root.parent / "blobs").resolve())
    for root in above
  )
