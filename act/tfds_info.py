"""The two files by which TensorFlow Datasets reads our demonstrations.

Its import takes a second: only what completes a dataset does it.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from act import storage


def write(
  directory: pathlib.Path,
  task: str,
  features: tfds.features.FeaturesDict,
  shard_lengths: list[int],
  num_bytes: int,
  *,
  version: int = storage.FORMAT_VERSION,
  what: str = "Scripted demonstrations",
) -> tuple[str, ...]:
  """Writes what TensorFlow Datasets reads; returns the names of the files."""
  info = tfds.core.DatasetInfo(
    builder=tfds.core.dataset_info.DatasetIdentity(
      name=storage.name_of(task),
      version=tfds.core.Version(f"{version}.0.0"),
      data_dir=os.fspath(directory),
      module_name="",
    ),
    features=features,
    description=f"{what} of {task}; see {storage.METADATA_FILE}.",
  )
  info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
  template = tfds.core.ShardedFileTemplate(
    data_dir=os.fspath(directory),
    dataset_name=storage.name_of(task),
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
  with storage.naming_a_full_disk(directory):
    info.write_to_directory(os.fspath(directory))
  return ("dataset_info.json", "features.json")


def features_of(
  cameras: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int]
) -> tfds.features.FeaturesDict:
  """Returns the features of a record of scripts/collect_demos.py."""
  return tfds.features.FeaturesDict(
    {
      "images": _images(cameras),
      **_vectors(sizes),
      "reward": tfds.features.Scalar(np.float32),
      **_counters(),
    }
  )


def features_of_cache(
  cameras: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int]
) -> tfds.features.FeaturesDict:
  """Returns the features of a record of a cache."""
  both = {"images": _images(cameras), "vectors": _vectors(sizes)}
  filled = {name: group for name, group in both.items() if group}
  return tfds.features.FeaturesDict(filled | _counters())


def _images(cameras: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  images = {}
  for name, camera in cameras.items():
    shape = (camera["height"], camera["width"], 3)
    images[name] = (
      tfds.features.Image(shape=shape, encoding_format="jpeg")
      if camera["encoding"] == "jpeg"
      else tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")
    )
  return images


def _vectors(sizes: Mapping[str, int]) -> dict[str, Any]:
  return {
    name: tfds.features.Tensor(shape=(size,), dtype=np.float32)
    for name, size in sizes.items()
  }


def _counters() -> dict[str, Any]:
  return {
    "is_first": tfds.features.Scalar(np.bool_),
    "is_last": tfds.features.Scalar(np.bool_),
    "is_terminal": tfds.features.Scalar(np.bool_),
    "episode_index": tfds.features.Scalar(np.int64),
    "frame_index": tfds.features.Scalar(np.int64),
  }
