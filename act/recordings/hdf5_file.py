"""HDF5 files of strangers: what lies in the file itself is read, nothing else.

A file may name others: by links, by storage outside of it, or by a dataset put
together from several. All of these are refused before anything is read.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

_LARGEST_VECTOR = 2**31  # bytes; qpos of an hour at 50 Hz has 20 MB
_PLAIN_KINDS = "fiu"


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[Any]:
  """Yields the open file; ValueError in one line when it cannot be read."""
  try:
    with open_file(path) as file:
      yield file
  except (OSError, RuntimeError, KeyError, TypeError) as error:  # of h5py
    raise ValueError(f"unreadable ({error}): truncated or damaged") from error


def open_file(path: pathlib.Path) -> Any:
  """Returns the file, open for reading."""
  return h5py.File(path, "r", locking="best-effort")


def find(file: Any, path: str) -> Any:
  """Returns the dataset at `path`, or None where there is none.

  Raises:
    ValueError: it is not in this file, or no plain array.
  """
  node = _follow(file, path)
  if node is None:
    return None
  if not isinstance(node, h5py.Dataset):
    raise ValueError(f"/{path} is no array")
  if node.external:
    raise ValueError(f"/{path} is stored outside of the file, which is refused")
  if node.is_virtual:
    raise ValueError(f"/{path} is put together from others, which is refused")
  if node.dtype.kind not in _PLAIN_KINDS:
    raise ValueError(f"/{path} holds {node.dtype}, not numbers")
  return node


def members(file: Any, path: str) -> list[str]:
  """Returns the names within the group at `path`; none where there is none."""
  node = _follow(file, path)
  return list(node) if isinstance(node, h5py.Group) else []


def vector(dataset: Any) -> np.ndarray:
  """Returns float32 [T, D] of an array [T, D] or [T]."""
  if dataset.ndim not in (1, 2):
    raise ValueError(f"{dataset.name} has shape {dataset.shape}, not [T, D]")
  if dataset.size * 8 > _LARGEST_VECTOR:
    raise ValueError(f"{dataset.name} has shape {dataset.shape}: too large")
  with np.errstate(over="ignore"):  # an infinity is refused by whoever asks
    values = np.asarray(dataset[()]).astype(np.float32)
  return values.reshape(len(values), -1)


def _follow(file: Any, path: str) -> Any:
  """Returns what is at `path`, through no link but those within the file."""
  node = file
  for name in path.split("/"):
    if not isinstance(node, h5py.Group) or name not in _names(node):
      return None
    if not isinstance(node.get(name, getlink=True), h5py.HardLink):
      raise ValueError(f"{name} in /{path} is a link, which is refused")
    node = node[name]
  return node


def _names(group: Any) -> set[str]:
  return set(group.keys())  # `in group` would follow the link
