"""`.safetensors` files as sources: sound, in shards, and hostile."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import foreign, leaves

TENSORS = {
  "model.kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
  "model/bias": np.array([1, 2], np.int16),
  "half": np.array([0.5, -3], ml_dtypes.bfloat16),
  "small": np.array([1.5, -2], ml_dtypes.float8_e4m3fn),
  "smaller": np.array([1.5, -2], ml_dtypes.float8_e5m2),
  "complex": np.array([1 + 2j], np.complex64),
  "flag": np.array(True),
  "none": np.zeros((0, 4), np.float64),
}


def test_safetensors(tmp_path):
  path = tmp_path / "model.safetensors"
  safetensors.numpy.save_file(TENSORS, path, metadata={"format": "np"})
  (tmp_path / "link.safetensors").symlink_to(path)
  for place in (path, tmp_path / "link.safetensors"):
    found = foreign.find(place)
    assert (found.kind, found.step) == ("safetensors", None)
    values = found.contents(TENSORS)
    for name, expected in TENSORS.items():
      spec = leaves.Spec(expected.shape, expected.dtype.name)
      assert found.specs()[name] == spec
      assert values[name].dtype == expected.dtype
      np.testing.assert_array_equal(values[name], expected)
      assert found.sizes()[name] == expected.nbytes


def _read_all(path):
  found = foreign.find(path)
  return found.contents(found.specs())


def _refused(path, match):
  with pytest.raises(checkpoint_lib.CorruptError, match=match) as caught:
    _read_all(path)
  assert path.name in str(caught.value)
  assert "\n" not in str(caught.value)
  assert len(str(caught.value)) < 700


def _shards(path):
  table = {}
  for number, name in enumerate(TENSORS):
    file = f"model-{number % 2}.safetensors"
    table[name] = file
  for file in set(table.values()):
    mine = {name: TENSORS[name] for name in TENSORS if table[name] == file}
    safetensors.numpy.save_file(mine, path / file)
  index = path / "model.safetensors.index.json"
  index.write_text(json.dumps({"metadata": {}, "weight_map": table}))
  return index, table


def test_sharded_safetensors(tmp_path):
  index, _ = _shards(tmp_path)
  for path in (index, tmp_path):
    found = foreign.find(path)
    values = found.contents(found.specs())
    assert set(values) == set(TENSORS)
    np.testing.assert_array_equal(values["half"], TENSORS["half"])


@pytest.mark.parametrize(
  "file", ["../model-0.safetensors", "/etc/passwd", "model-1.safetensors", 3]
)
def test_a_forged_index(tmp_path, file):
  index, table = _shards(tmp_path)
  table["model.kernel"] = file
  index.write_text(json.dumps({"weight_map": table}))
  _refused(index, "names the file|cannot be part|'model.kernel' is not in")


def test_shards_are_not_read_through_a_link(tmp_path):
  index, _ = _shards(tmp_path)
  shard = tmp_path / "model-0.safetensors"
  shard.rename(tmp_path / "moved")
  shard.symlink_to(tmp_path / "moved")
  with pytest.raises(checkpoint_lib.CorruptError, match="is a link"):
    foreign.find(index)


def _tensor(shape=(2,), ends=(0, 8), dtype="F32"):
  return {"dtype": dtype, "shape": shape, "data_offsets": ends}


@pytest.mark.parametrize(
  ("header", "data_bytes"),
  [
    ({"a": _tensor()}, 7),  # truncated
    ({"a": _tensor()}, 9),
    ({"a": _tensor(), "b": _tensor()}, 8),  # overlapping
    ({"a": _tensor(), "b": _tensor(ends=(4, 12))}, 12),
    ({"a": _tensor(ends=(8, 16))}, 16),  # a gap
    ({"a": _tensor(ends=(-8, 0))}, 8),
    ({"a": _tensor(shape=(3,))}, 8),
    ({"a": _tensor(shape=(-2,))}, 8),
    ({"a": _tensor(shape=(1 << 62, 1 << 62))}, 8),
    ({"a": _tensor(dtype="object")}, 8),
    ({"../a": _tensor()}, 8),
    ({"/a": _tensor()}, 8),
    (b"[" * 100_000, 0),
    (b'{"__metadata__": ' + b'{"a":' * 100_000, 0),
    (b"\xff\xfe", 0),
    (b"", 0),
  ],
  ids=str,
)
def test_hostile_safetensors(tmp_path, header, data_bytes):
  path = tmp_path / "model.safetensors"
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data_bytes))
  _refused(path, "is unreadable|cannot be part of a path")


@pytest.mark.parametrize("length", [0, 3, 8])
def test_a_header_longer_than_its_file(tmp_path, length):
  path = tmp_path / "model.safetensors"
  path.write_bytes(struct.pack("<Q", 1 << 60)[:length])
  _refused(path, "is unreadable")


def test_tensors_of_unknown_dtype_are_listed(tmp_path):
  path = tmp_path / "model.safetensors"
  header = {
    "a": _tensor(),
    "b": _tensor(shape=(4,), ends=(8, 12), dtype="F8_E8M0"),
  }
  text = json.dumps(header).encode()
  path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(12))
  found = foreign.find(path)
  assert (set(found.specs()), found.skipped) == ({"a"}, ("b",))
