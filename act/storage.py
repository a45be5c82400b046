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
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from carnet import errors

FORMAT_VERSION = 1
LOW_DIMENSIONAL = ("qpos", "qvel", "action", "reward")
LOW_DIMENSIONAL_FILE = "low_dimensional.npz"
METADATA_FILE = "metadata.json"
TEMPORARY = ".tmp"
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
  return task.replace("/", "_")


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


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
  """Writes JSON atomically, with sorted keys; refuses NaN."""
  text = json.dumps(content, indent=1, allow_nan=False, sort_keys=True)
  with atomic(path) as temporary:
    temporary.write_text(text + "\n")


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Returns the JSON object in a file; UserError when it is broken."""
  try:
    content = json.loads(path.read_text())
  except (OSError, ValueError) as error:
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


def write_tfds_info(
  directory: pathlib.Path,
  task: str,
  cameras: Mapping[str, Mapping[str, Any]],
  sizes: Mapping[str, int],
  shard_lengths: list[int],
  num_bytes: int,
) -> tuple[str, ...]:
  """Writes what TensorFlow Datasets reads; returns the names of the files."""
  import tensorflow_datasets as tfds  # a second of import; workers do without

  info = tfds.core.DatasetInfo(
    builder=tfds.core.dataset_info.DatasetIdentity(
      name=name_of(task),
      version=tfds.core.Version(f"{FORMAT_VERSION}.0.0"),
      data_dir=os.fspath(directory),
      module_name="",
    ),
    features=tfds_features(cameras, sizes),
    description=f"Scripted demonstrations of {task}; see {METADATA_FILE}.",
  )
  info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
  template = tfds.core.ShardedFileTemplate(
    data_dir=os.fspath(directory),
    dataset_name=name_of(task),
    split="train",
    filetype_suffix="array_record",
  )
  split = tfds.core.SplitInfo(
    name="train",
    shard_lengths=shard_lengths,
    num_bytes=num_bytes,
    filename_template=template,
  )
  info.set_splits(tfds.core.splits.SplitDict([split]))
  with naming_a_full_disk(directory):
    info.write_to_directory(os.fspath(directory))
  return ("dataset_info.json", "features.json")


def tfds_features(
  cameras: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int]
) -> Any:
  """Returns the `tfds.features.FeaturesDict` of one record."""
  import tensorflow_datasets as tfds

  images = {}
  for name, camera in cameras.items():
    shape = (camera["height"], camera["width"], 3)
    images[name] = (
      tfds.features.Image(shape=shape, encoding_format="jpeg")
      if camera["encoding"] == "jpeg"
      else tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")
    )
  return tfds.features.FeaturesDict(
    {
      "images": images,
      **{
        name: tfds.features.Tensor(shape=(size,), dtype=np.float32)
        for name, size in sizes.items()
      },
      "reward": tfds.features.Scalar(np.float32),
      "is_first": tfds.features.Scalar(np.bool_),
      "is_last": tfds.features.Scalar(np.bool_),
      "is_terminal": tfds.features.Scalar(np.bool_),
      "episode_index": tfds.features.Scalar(np.int64),
      "frame_index": tfds.features.Scalar(np.int64),
    }
  )


def read_metadata(directory: pathlib.Path) -> dict[str, Any]:
  """Returns metadata.json once every file has its size; UserError if not."""
  path = directory / METADATA_FILE
  if not directory.is_dir():
    raise errors.UserError(
      f"no demonstrations at '{directory}': run scripts/collect_demos.py "
      f"--directory={directory}, or set config.dataset.path"
    )
  if not path.is_file():
    raise errors.UserError(
      f"'{directory}' holds no complete demonstrations ({METADATA_FILE} is "
      "absent): run scripts/collect_demos.py again to finish them"
    )
  metadata = read_json(path)
  version = metadata.get("format_version")
  if version != FORMAT_VERSION:
    raise errors.UserError(
      f"{path}: format {version}, this version reads {FORMAT_VERSION}"
    )
  try:
    for name, facts in metadata["files"].items():
      _check_size(directory / name, facts["bytes"])
  except (KeyError, TypeError, AttributeError) as error:
    raise errors.UserError(f"{path}: damaged, no {error}") from error
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


def _check_size(path: pathlib.Path, size: int) -> None:
  if not path.is_file():
    raise errors.UserError(f"{path}: missing; collect the demonstrations again")
  if path.stat().st_size != size:
    raise errors.UserError(
      f"{path}: {path.stat().st_size} bytes where {size} were written: "
      "truncated or altered; delete the directory and collect again"
    )
