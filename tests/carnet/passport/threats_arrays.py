"""T6, T7, T9 to T13, T16 to T18: metadata and headers of arrays that lie.

All digests are made to fit, as an attacker would: nothing but what is wrong
with the arrays can give them away. Headers of arrays lie in Orbax's database,
which only --rerun opens.
"""

import json

import checking
import numpy as np
import tensorstore
import threat

from carnet.checkpoint import digest

_METADATA = "agent/_METADATA"
_BIAS = "params/head/bias"
_ROW = f"('{_BIAS}',)"
_RERUN = ["--rerun"]


def _metadata(name, change, red="orbax_metadata_safe"):
  return threat.Case(
    name, lambda step: threat.edit(step, _METADATA, change), red
  )


def _key(name, text, ocdbt):
  def change(body):
    body["tree_metadata"][_ROW]["key_metadata"][0]["key"] = text
    body["use_ocdbt"] = ocdbt

  return _metadata(name, change)


def _keys(*rows):
  """Returns a change: the bias has these keys, as (text, type)."""

  def change(body):
    row = body["tree_metadata"][_ROW]
    row["key_metadata"] = [{"key": k, "key_type": t} for k, t in rows]

  return change


def _value_type(name):
  def change(body):
    for row in body["tree_metadata"].values():
      row["value_metadata"]["value_type"] = name

  return change


def _write_shape(shape):
  def change(body):
    body["tree_metadata"][_ROW]["value_metadata"]["write_shape"] = shape

  return change


def _collide(body):
  row = body["tree_metadata"][_ROW]
  one = {**row, "key_metadata": [{"key": "params/x", "key_type": 2}]}
  body["tree_metadata"] |= {"1": one, "2": one}


def _collide_by_dots(body):
  row = body["tree_metadata"][_ROW]
  split = [{"key": k, "key_type": 2} for k in ("params/head", "bias")]
  dotted = [{"key": "params/head.bias", "key_type": 2}]
  body["tree_metadata"] |= {
    "1": {**row, "key_metadata": split},
    "2": {**row, "key_metadata": dotted},
  }


def _leaf(change):
  """Returns a change of the manifest: of the row of the bias."""

  def run(body):
    change(next(x for x in body["leaves"] if x["path"] == f"agent/{_BIAS}"))

  return run


def _declare(size):
  def forge(step):
    row = {"shape": [size], "size_bytes": 4 * size}
    checking.reseal(step, _leaf(lambda leaf: leaf.update(row)))

  return forge


def _store(step):
  files = {"driver": "file", "path": f"{step}/agent/"}
  return tensorstore.KvStore.open({"driver": "ocdbt", "base": files}).result()


def _header(name, red="tree_digest_recomputed", leaf=None, **changes):
  """Returns a case: the header of the bias, in the database, is another.

  `leaf` is what the manifest tells of it then, for an attacker who knows.
  """

  def forge(step):
    place, store = f"{_BIAS}/.zarray", _store(step)
    body = json.loads(store.read(place).result().value)
    store.write(place, json.dumps(body | changes).encode()).result()
    checking.reseal(step, _leaf(lambda row: row.update(leaf or {})))
    return _RERUN

  code = threat.REFUSED if red else threat.HARMLESS
  return threat.Case(f"header: {name}", forge, red, code, heavy=True)


def _bomb(step):
  """A gibibyte of zeros in a few kilobytes, of which the manifest knows."""
  count, store = 1 << 28, _store(step)
  header = {
    **{"chunks": [count], "shape": [count], "dtype": "<f4", "order": "C"},
    **{"compressor": {"id": "zstd", "level": 1}, "filters": None},
    **{"zarr_format": 2, "fill_value": None, "dimension_separator": "."},
  }
  spec = {
    **{"driver": "zarr", "metadata": header, "create": True},
    **{"kvstore": store.spec() / f"{_BIAS}/", "delete_existing": True},
  }
  tensorstore.open(spec).result().write(np.float32(0)).result()
  _declare(count)(step)
  return _RERUN


def _not_a_number(step):
  values = np.full(8, np.nan, np.float32)
  _store(step).write(f"{_BIAS}/0", values.tobytes()).result()
  changes = {"sha256": digest.leaf(values)}
  checking.reseal(step, _leaf(lambda row: row.update(changes)))
  return _RERUN


CASES = {
  6: (
    _key("absolute key", "/etc/passwd", ocdbt=False),
    _key("absolute key in OCDBT", "/etc/passwd", ocdbt=True),
    _metadata("not OCDBT", lambda body: body.update(use_ocdbt=False)),
  ),
  7: (
    _key("key that leads out", "../../x", ocdbt=False),
    _key("key that leads out in OCDBT", "params/../../x", ocdbt=True),
  ),
  9: (
    threat.Case("gibibyte", _declare(1 << 28), "orbax_metadata_safe"),
    threat.Case(
      "gibibyte of zeros", _bomb, "tree_digest_recomputed", heavy=True
    ),
  ),
  10: (
    threat.Case("4 TiB", _declare(1 << 40), "orbax_metadata_safe"),
    _header("4 TiB", shape=[1 << 40], chunks=[1 << 40]),
  ),
  11: (
    _metadata("smaller shape", _write_shape([9]), "tree_shapes_dtypes"),
    _metadata("two axes", _write_shape([2, 4]), "tree_shapes_dtypes"),
    _header("smaller shape", shape=[4], chunks=[4]),
    _header("larger shape", shape=[9], chunks=[9]),
  ),
  12: (
    _header("int32", dtype="<i4"),
    _header("big-endian", dtype=">f4"),
    _header("half the bytes", dtype="<f2"),
    threat.Case(
      "dtype in the manifest",
      lambda step: checking.reseal(
        step, _leaf(lambda row: row.update(dtype="int32"))
      ),
      "param_totals",
    ),
  ),
  13: (
    _header("filter", filters=[{"id": "pickle"}]),
    _header("unknown codec", compressor={"id": "os.system"}),
    _header("codec that is none", compressor="touch executed"),
    _header("objects", dtype="|O"),
    _header("structure", dtype=[["a", "<f4"], ["b", "|O"]]),
    _header("another format", zarr_format=3),
    _header("unknown member", red=None, kvstore={"driver": "http"}),
    _header("no numbers", shape="8"),
  ),
  16: (
    _metadata("unknown type of key", _keys((_BIAS, 7))),
    _metadata("type of key that is none", _keys((_BIAS, "os.system"))),
    _metadata("hole in a list", _keys(("list", 2), ("3", 1))),
    _metadata("index of a list that is none", _keys(("list", 1))),
    _metadata("no keys", _keys()),
    _metadata("unknown type of value", _value_type("os.system")),
  ),
  17: (
    _metadata("collision", _collide, "key_collision"),
    _metadata("collision by dots", _collide_by_dots, "key_collision"),
  ),
  18: (
    threat.Case(
      "weights that are no numbers",
      _not_a_number,
      "weights_finite_recomputed",
      heavy=True,
    ),
  ),
}
