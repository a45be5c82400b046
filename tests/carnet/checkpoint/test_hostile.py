"""Steps that were forged, with digests that fit, and files that never end."""

import json
import os
import shutil

import jax
import numpy as np
import pytest
import tensorstore

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import (
  components,
  digest,
  directory,
  documents,
  dtypes,
  kinds,
  manifest,
  pruning,
  reader,
  retention,
)

STEP = "000000001"


class _Replay:
  def __init__(self):
    self.chunks = [checkpoint_lib.Chunk({"x": np.arange(4)})]

  def state(self):
    return checkpoint_lib.Chunked(self.chunks, {})

  def load_state(self, state):
    self.chunks = list(state.chunks)


def _save(path, step, value=0.0):
  with checkpoint_lib.Checkpoint(path, verbose=False) as checkpoint:
    weights = {"w": np.full(5000, value), "none": np.zeros((0, 2))}
    checkpoint.register("agent", weights | {"key": jax.random.key(0)})
    checkpoint.register("data", {"next_index": step})
    checkpoint.register("r", _Replay())
    checkpoint.attach("config.json", {"seed": step})
    checkpoint.save(step)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
  path = tmp_path_factory.mktemp("original")
  _save(path, 1)
  return path


@pytest.fixture
def run(original, tmp_path):
  shutil.copytree(original, tmp_path / "run")
  return tmp_path / "run"


def _reseal(step, change=lambda body: None):
  """Forges a manifest: `change` alters its body, digests are made to fit."""
  path = step / manifest.NAME
  body = json.loads(path.read_bytes())
  listed = set(directory.files(step)) - {manifest.NAME}
  body["files"] = [
    {
      "path": name,
      "size_bytes": (step / name).stat().st_size,
      "sha256": digest.file(step / name),
    }
    for name in sorted(listed)
  ]
  change(body)
  del body["sha256"]
  path.write_bytes(manifest.seal(body))


def _refused(step, match):
  with pytest.raises(checkpoint_lib.CorruptError, match=match) as caught:
    checkpoint_lib.read(step)
  assert "\n" not in str(caught.value)
  assert " ".join(reader.verify(step)).count(match.replace("\\", "")) >= 1


def _pipe(path):
  os.mkfifo(path)


def _endless(path):
  path.symlink_to("/dev/zero")


def _huge(path):
  path.touch()
  os.truncate(path, documents.LARGEST_BYTES + 1)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
  ("forge", "match"),
  [(_pipe, "plain file"), (_endless, "it is a link"), (_huge, "at most")],
)
def test_a_manifest_that_never_ends_is_refused(run, forge, match):
  _save(run, 2)
  path = run / STEP / manifest.NAME
  path.unlink()
  forge(path)
  _refused(run / STEP, match)
  assert list(directory.complete(run)) == [2]
  assert checkpoint_lib.read_json(run, "config.json") == {"seed": 2}
  (chunk,) = (run / directory.CHUNKS).glob("*/*")
  _orphan(run)
  pruning.prune(run, retention.Retention(latest=1))
  assert chunk.exists()
  assert (run / STEP).exists()


def _orphan(root):
  path = root / directory.CHUNKS / "aa" / f"{'a' * 64}.safetensors"
  path.parent.mkdir()
  path.write_bytes(b"x")
  return path


def _leaf(body, name):
  (row,) = (r for r in body["leaves"] if r["path"] == f"agent/{name}")
  return row


FORGERIES = {
  "processes": (
    lambda body: body.update(processes={"agent": 10**9}),
    "more processes",
  ),
  "processes of nothing": (
    lambda body: body.update(processes={"x": 1}),
    "no component",
  ),
  "dtype": (lambda b: _leaf(b, "w").update(dtype="foo"), "unknown dtype 'foo'"),
  "component of a chunk": (
    lambda body: body["chunks"][0].update(component="r/zzz"),
    "r/zzz is no component of chunks",
  ),
  "component of a chunk is no path": (
    lambda body: body["chunks"][0].update(component="../r"),
    "../r is no component of chunks",
  ),
  "kind": (
    lambda body: body["components"].update(data="pickle"),
    "unknown kind 'pickle'",
  ),
  "empty": (
    lambda b: _leaf(b, "w").update(size_bytes=0, shape=[10**6, 10**6]),
    "leaf agent/w has 0 bytes",
  ),
  "number with axes": (
    lambda b: _leaf(b, "w").update(dtype="python:float"),
    "impossible shape [5000]",
  ),
  "key": (
    lambda b: _leaf(b, "key").update(shape=[3]),
    "leaf agent/key has 8 bytes, its shape 24",
  ),
  "larger than the files": (
    lambda b: _leaf(b, "w").update(size_bytes=8 * 10**12, shape=[10**12]),
    "the leaves of agent have 8000000000000 bytes",
  ),
  "leaf that is not stored": (
    lambda b: _leaf(b, "w").update(path="agent/other"),
    "no array 'other'",
  ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_row_is_refused(run, name):
  forge, message = FORGERIES[name]
  _reseal(run / STEP, forge)
  with pytest.raises(checkpoint_lib.CorruptError) as caught:
    checkpoint_lib.read(run / STEP)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)
  assert message in " ".join(reader.verify(run / STEP))


def test_processes_with_empty_states_are_no_forgery(run):
  _reseal(run / STEP, lambda body: body.update(processes={"agent": 512}))
  assert directory.read_manifest(run / STEP).processes == {"agent": 512}


def _array(step, shape, dtype="<f8", chunks=None):
  """Puts another header in the place of the leaf agent/w."""
  metadata = {
    "shape": shape,
    "chunks": chunks or shape,
    "dtype": dtype,
    "compressor": None,
  }
  base = {"driver": "file", "path": f"{step / 'agent'}/"}
  tensorstore.open(
    {
      "driver": "zarr",
      "kvstore": {"driver": "ocdbt", "base": base, "path": "w/"},
      "metadata": metadata,
    },
    create=True,
    delete_existing=True,
  ).result()


@pytest.mark.parametrize(
  "forged",
  [
    {"shape": [40 * 10**9]},
    {"shape": [5000], "chunks": [40 * 10**9]},
    {"shape": [10000], "dtype": "<f4"},
    {"shape": [5000], "dtype": "<i8"},
    {"shape": [50, 100]},
  ],
  ids=str,
)
def test_a_header_that_differs_is_refused_before_it_is_read(run, forged):
  _array(run / STEP, **forged)
  _reseal(run / STEP)
  _refused(run / STEP, "leaf agent/w is ")


def test_an_absent_part_of_an_array_is_not_zero(run):
  _array(run / STEP, [5000])
  _reseal(run / STEP)
  _refused(run / STEP, "agent")


def test_the_tables_of_dtypes_agree():
  arrays = {dtype.name: dtype.itemsize for dtype in kinds.ARRAYS}
  assert arrays == dtypes.ARRAY_BYTES
  assert {
    name: np.dtype(dtype).itemsize for name, (_, dtype) in kinds.PYTHON.items()
  } == dtypes.PYTHON_BYTES
  keys = {
    name: jax.random.key(0, impl=name.removeprefix("key:"))
    for name in kinds.KEYS
  }
  words = {name: jax.random.key_data(key).shape for name, key in keys.items()}
  assert words == {name: (n,) for name, n in dtypes.KEY_WORDS.items()}


def _nested(levels):
  value = 0
  for _ in range(levels):
    value = [value]
  return value


def test_deep_json_is_refused_in_one_line():
  text = documents.encode(_nested(100), "data")
  assert documents.decode(text, "data") == _nested(100)
  for levels in (101, 900, 5000):
    assert documents.holds(_nested(levels))  # not searched for arrays
    with pytest.raises(
      errors.UserError, match="more than 100 levels"
    ) as caught:
      documents.encode(_nested(levels), "data")
    assert len(str(caught.value)) < 200
    with pytest.raises(checkpoint_lib.CorruptError, match="data is "):
      documents.decode(b"[" * levels + b"0" + b"]" * levels, "data")
  with pytest.raises(errors.UserError, match="nested"):
    components.capture("data", {"x": _nested(900)})


def test_what_contains_itself_is_refused():
  value = []
  value.extend([value, {"again": value}])
  with pytest.raises(errors.UserError, match="more than 100 levels"):
    documents.encode(value, "data")


def test_deep_json_in_a_step_is_refused(run):
  deep = b"[" * 900 + b"]" * 900
  (run / STEP / "data/state.json").write_bytes(deep)
  _reseal(run / STEP)
  with pytest.raises(checkpoint_lib.CorruptError, match="more than 100 levels"):
    checkpoint_lib.read(run / STEP)
