"""The files of a demonstration dataset.

    DIR/
      NAME-train.array_record-00000-of-00050  one shard per episode, one record
                          per time step, readable by TensorFlow Datasets
      dataset_info.json  features.json        what TensorFlow Datasets reads
      low_dimensional.npz  qpos, qvel, action, reward of all frames, in order
      metadata.json      everything else; written last: it completes the set

One record holds images/CAMERA, qpos, qvel, action, reward, is_first, is_last,
is_terminal, episode_index and frame_index. The observation comes before the
action, the reward follows it.

A cache (scripts/convert.py cache, format 2) has the same files. Its records
hold images/CAMERA and vectors/NAME, as the source calls them, the flags, the
number that the source gives to the episode, and frame_index; its .npz holds
vectors/NAME.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from act.recordings import inside
from carnet import errors

FORMAT_VERSION = 1
CACHE_VERSION = 2
LOW_DIMENSIONAL = ("qpos", "qvel", "action", "reward")
LOW_DIMENSIONAL_FILE = "low_dimensional.npz"
METADATA_FILE = "metadata.json"
TEMPORARY = ".tmp"
CACHING = ".caching"  # unfinished business of scripts/convert.py cache
_MOST_JSON_BYTES = 256 * 2**20
_REFUSALS = [
  os.strerror(number)
  for number in (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
  )
]


def name_of(task: str) -> str:
  """Returns the dataset's name for TensorFlow Datasets."""
  name = re.sub(r"\W", "_", task, flags=re.ASCII)
  return name if name[:1].isalpha() else f"data_{name}"


def shard_name(task: str, index: int, count: int) -> str:
  """Returns the file name of one episode's records."""
  return f"{name_of(task)}-train.array_record-{index:05d}-of-{count:05d}"


def digest(path: pathlib.Path) -> dict[str, Any]:
  """Returns the size and SHA-256 of a file."""
  with path.open("rb") as file:
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
  return {"bytes": path.stat().st_size, "sha256": sha256}


@contextlib.contextmanager
def atomic(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a temporary name that becomes `path` on success, else nothing."""
  temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
  try:
    with naming_a_full_disk(path):
      yield temporary
      temporary.replace(path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


@contextlib.contextmanager
def naming_a_full_disk(path: pathlib.Path) -> Iterator[None]:
  """Turns the errors of a disk that takes no more into a UserError."""
  try:
    yield
  except Exception as error:
    # by text, because array_record and others give no number
    reasons = [reason for reason in _REFUSALS if reason in str(error)]
    if not reasons:
      raise
    raise errors.UserError(
      f"{reasons[0]} while writing {path}: mend that and run the same command "
      "again, which keeps what is finished"
    ) from error


def write_json(
  path: pathlib.Path, content: Mapping[str, Any], sort_keys: bool = True
) -> None:
  """Writes JSON atomically; refuses NaN."""
  text = json.dumps(content, indent=1, allow_nan=False, sort_keys=sort_keys)
  with atomic(path) as temporary:
    temporary.write_text(text + "\n")


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Returns the JSON object in a file; UserError when it is broken."""
  try:
    if path.stat().st_size > _MOST_JSON_BYTES:
      raise ValueError(f"over {_MOST_JSON_BYTES >> 20} MiB")
    content = json.loads(path.read_text())
  except (OSError, ValueError, RecursionError) as error:
    raise errors.UserError(f"{path}: unreadable ({error})") from error
  if not isinstance(content, dict):
    raise errors.UserError(f"{path}: no JSON object")
  return content


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes an .npz atomically."""
  with atomic(path) as temporary, temporary.open("wb") as file:
    np.savez(file, allow_pickle=False, **dict(arrays))


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the arrays of an .npz; UserError when it is broken."""
  try:
    with np.load(path, allow_pickle=False) as arrays:
      return {name: arrays[name] for name in arrays.files}
  except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
    raise errors.UserError(f"{path}: unreadable ({error})") from error


def read_metadata(directory: pathlib.Path) -> dict[str, Any]:
  """Returns metadata.json once every file has its size; UserError if not."""
  metadata = read_unchecked(directory)
  for name, facts in metadata["files"].items():
    check_file(directory, name, facts)
  return metadata


def read_unchecked(directory: pathlib.Path) -> dict[str, Any]:
  """Returns metadata.json, whatever became of the other files."""
  path = directory / METADATA_FILE
  if not directory.is_dir():
    raise errors.UserError(
      f"no demonstrations at '{directory}': run scripts/collect_demos.py "
      f"--directory={directory}, or set config.dataset.path"
    )
  if not path.is_file():
    door = "convert.py cache" if _is_cache(directory) else "collect_demos.py"
    raise errors.UserError(
      f"'{directory}' holds no complete demonstrations ({METADATA_FILE} is "
      f"absent): run scripts/{door} again to finish them"
    )
  metadata = read_json(inside.resolve(directory, METADATA_FILE))
  version = metadata.get("format_version")
  if version not in (FORMAT_VERSION, CACHE_VERSION):
    raise errors.UserError(
      f"{path}: format {version}, this version reads {FORMAT_VERSION} and "
      f"{CACHE_VERSION}"
    )
  if not isinstance(metadata.get("files"), dict):
    raise errors.UserError(f"{path}: damaged, no 'files'")
  return metadata


def verify(directory: str | os.PathLike[str]) -> None:
  """Raises UserError naming the first file whose SHA-256 is not the stored."""
  root = pathlib.Path(directory)
  for name, facts in read_metadata(root)["files"].items():
    if digest(root / name) != facts:
      raise errors.UserError(
        f"{root / name}: altered since it was written (SHA-256 differs); "
        "delete the directory and collect again"
      )


def check_file(
  directory: pathlib.Path, name: str, facts: Mapping[str, Any]
) -> None:
  """Raises UserError unless the file is there, within, and has its size."""
  path = directory / name
  if pathlib.PurePath(name).name != name:
    raise errors.UserError(
      f"{directory / METADATA_FILE}: damaged, '{name}' is no name of a file"
    )
  try:
    size = facts["bytes"]
  except (KeyError, TypeError) as error:
    raise errors.UserError(
      f"{directory / METADATA_FILE}: damaged, no size of '{name}'"
    ) from error
  if not path.is_file():
    raise errors.UserError(f"{path}: missing; collect the demonstrations again")
  if path.is_symlink():
    inside.resolve(directory, name)
  if path.stat().st_size != size:
    raise errors.UserError(
      f"{path}: {path.stat().st_size} bytes where {size} were written: "
      "truncated or altered; delete the directory and collect again"
    )


def _is_cache(directory: pathlib.Path) -> bool:
  return (directory / CACHING).is_dir()
