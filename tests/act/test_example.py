"""Records equal those of TensorFlow Datasets, both ways."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from act import example

FEATURES = tfds.features.FeaturesDict(
  {
    "images": {
      "top": tfds.features.Tensor(
        shape=(4, 50, 3), dtype=np.uint8, encoding="bytes"
      )
    },
    "qpos": tfds.features.Tensor(shape=(14,), dtype=np.float32),
    "reward": tfds.features.Scalar(np.float32),
    "is_first": tfds.features.Scalar(np.bool_),
    "index": tfds.features.Scalar(np.int64),
  }
)


@pytest.mark.parametrize("index", [0, 1, 127, 128, 300, 2**40, -1, -(2**50)])
def test_record_equals_the_serialiser_of_tfds(index):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (4, 50, 3)).astype(np.uint8)
  qpos = rng.normal(size=14).astype(np.float32)
  theirs = FEATURES.serialize_example(
    {
      "images": {"top": image},
      "qpos": qpos,
      "reward": np.float32(2.5),
      "is_first": True,
      "index": index,
    }
  )
  ours = example.encode(
    {
      "images/top": image.tobytes(),
      "qpos": qpos,
      "reward": np.asarray(2.5, np.float32),
      "is_first": np.asarray(True),
      "index": np.asarray(index),
    }
  )
  parse = tf_example_pb2.Example.FromString
  assert parse(ours) == parse(theirs)
  # tfds writes the entries in its own order, and `find` does not depend on it
  for record in (ours, theirs):
    assert example.find(record, "images/top") == image.tobytes()
  decoded = FEATURES.deserialize_example_np(ours)
  np.testing.assert_array_equal(decoded["images"]["top"], image)
  np.testing.assert_array_equal(decoded["qpos"], qpos)
  assert decoded["index"] == index
  assert decoded["is_first"] is True


def test_find_refuses_what_is_not_there():
  record = example.encode({"a": b"123"})
  with pytest.raises(ValueError, match="holds no 'b'"):
    example.find(record, "b")


@pytest.mark.parametrize("cut", range(1, 12))
def test_find_refuses_a_truncated_record(cut):
  record = example.encode({"a": b"123"})
  with pytest.raises(ValueError, match=r"ends within|holds no|tag"):
    example.find(record[:cut], "a")


def test_other_types_are_refused():
  with pytest.raises(TypeError, match="float64"):
    example.encode({"a": np.zeros(3)})
