"""Metadata of arrays that leads out, declares too much, or loses leaves."""

import json

import checking
import pytest
import sample

from carnet.checkpoint import manifest
from carnet.passport import byte_budget, outcome

METADATA = "agent/_METADATA"


def _edit(step, name, change):
  """Changes a JSON file, and makes all digests fit, as an attacker would."""
  path = step / name
  body = json.loads(path.read_bytes())
  change(body)
  path.write_text(json.dumps(body))
  checking.reseal(step)


def _rekey(old, *keys, key_type=2):
  def change(body):
    row = body["tree_metadata"].pop(f"('{old}',)")
    row["key_metadata"] = [{"key": k, "key_type": key_type} for k in keys]
    body["tree_metadata"][str(keys)] = row

  return change


@pytest.mark.parametrize(
  ("key", "name"),
  [
    ("/etc/secrets", "t6 an absolute path"),
    ("../../other/kernel", "t7 a path that leads out"),
    ("params/./x", "a dot"),
    ("a\\b", "a backslash"),
    ("a b", "a blank"),
    ("a.b", "a dot within"),
    ("x" * 129, "a long name"),
    ("naïve", "another alphabet"),
    ("\x1b[31m", "t28 an escape sequence"),
    ("", "nothing"),
    ("/".join("x" * 65), "too deep"),
  ],
)
def test_t6_t7_keys_that_lead_elsewhere_are_refused(step, key, name):
  _edit(step, METADATA, _rekey("params/head/bias", key))
  found = checking.one(step, "orbax_metadata_safe")
  assert found.status is outcome.Status.FAIL, name
  assert METADATA in found.evidence
  assert found.evidence.isprintable()


def test_t6_arrays_outside_of_ocdbt_are_refused(step):
  _edit(step, METADATA, lambda body: body.update(use_ocdbt=False))
  found = checking.one(step, "orbax_metadata_safe")
  assert "not in OCDBT" in found.evidence
  assert "use_ocdbt=True" in found.remedy


def test_t6_the_layout_is_that_of_the_passport(step):
  for field in ("use_ocdbt", "use_zarr3"):
    format_ = sample.passport(step).weight_integrity.checkpoint_format
    value = not getattr(format_, field)
    sample.write(step, **{f"weight_integrity/checkpoint_format/{field}": value})
    found = checking.one(step, "orbax_metadata_safe")
    assert found.where.endswith(field)


def test_t9_more_bytes_than_the_files_hold_are_refused(step):
  def bomb(body):
    row = next(x for x in body["leaves"] if x["path"].endswith("bias"))
    row |= {"shape": [1 << 28], "size_bytes": 1 << 30}

  checking.reseal(step, bomb)
  found = checking.one(step, "orbax_metadata_safe")
  assert f"leaves of {1 << 30} bytes are in files of" in found.evidence
  assert checking.red(step) == ["orbax_metadata_safe"]


def test_t10_a_huge_declared_shape_is_refused(step):
  def huge(body):
    row = next(x for x in body["leaves"] if x["path"].endswith("bias"))
    row |= {"shape": [1 << 40], "size_bytes": 1 << 42}

  checking.reseal(step, huge)
  found = checking.one(step, "orbax_metadata_safe")
  assert f"at most {byte_budget.LARGEST_BYTES} are read" in found.evidence


def test_declared_bytes_are_those_of_the_leaves(step):
  pointer = "weight_integrity/checkpoint_format/declared_array_bytes"
  sample.write(step, **{pointer: 317})
  found = checking.one(step, "orbax_metadata_safe")
  assert (
    found.evidence
  ) == "317 bytes are declared, the manifest's leaves have 316"


def test_t12_another_dtype_in_the_manifest_is_not_the_models(step):
  def cast(body):
    for row in body["leaves"]:
      row["dtype"] = row["dtype"].replace("float32", "int32")

  path = step / manifest.NAME
  body = json.loads(path.read_bytes())
  cast(body)
  del body["sha256"]
  path.write_bytes(manifest.seal(body))
  assert "param_totals" in checking.red(step)
  red = checking.red(step, rerun=True)
  assert "tree_digest_recomputed" in red


def test_t15_deep_json_is_refused_before_it_is_parsed(step):
  (step / METADATA).write_text('{"tree_metadata":' + "[" * 100_000)
  checking.reseal(step)
  found = checking.one(step, "orbax_metadata_safe")
  assert "nested in more than" in found.evidence
  assert checking.red(step) == ["orbax_metadata_safe"]


def test_t14_a_key_twice_is_refused(step):
  path = step / METADATA
  path.write_text(path.read_text()[:-1] + ', "use_ocdbt": true}')
  checking.reseal(step)
  found = checking.one(step, "orbax_metadata_safe")
  assert "'use_ocdbt' is there twice" in found.evidence


@pytest.mark.parametrize(
  ("change", "match"),
  [
    (_rekey("params/head/bias", "params", "x", key_type=9), "unknown type 9"),
    (_rekey("params/head/bias", "list", key_type=1), "no index of a list"),
    (_rekey("params/head/bias", "3", key_type=1), "has 1 of 4 elements"),
    (_rekey("params/head/bias"), "a leaf has 0 keys"),
    (lambda body: body.pop("tree_metadata"), "/tree_metadata: Field required"),
    (lambda body: body.update(tree_metadata=[1]), "is malformed"),
    (lambda body: body.update(use_ocdbt="yes"), "is malformed"),
  ],
)
def test_t16_malformed_metadata_is_one_finding(step, change, match):
  _edit(step, METADATA, change)
  found = checking.one(step, "orbax_metadata_safe")
  assert match in found.evidence
  assert found.evidence.isprintable()


def test_t16_an_unknown_value_type_is_only_a_text(step):
  def change(body):
    row = next(iter(body["tree_metadata"].values()))
    row["value_metadata"]["value_type"] = "os.system"

  _edit(step, METADATA, change)
  found = checking.one(step, "orbax_metadata_safe")
  assert "unknown type 'os.system'" in found.evidence


def test_t17_leaves_that_dots_make_one_are_found(step):
  def change(body):
    row = json.loads(json.dumps(next(iter(body["tree_metadata"].values()))))
    row["key_metadata"] = [
      {"key": "params/head", "key_type": 2},
      {"key": "bias", "key_type": 2},
    ]
    other = json.loads(json.dumps(row))
    other["key_metadata"] = [{"key": "params/head.bias", "key_type": 2}]
    body["tree_metadata"] |= {"one": row, "two": other}

  _edit(step, METADATA, change)
  found = checking.one(step, "key_collision")
  assert "params/head.bias is the name of 2 leaves" in found.evidence


def test_t17_a_leaf_cannot_be_a_parent(step):
  def change(body):
    body["leaves"].append(body["leaves"][0] | {"path": "agent/params/head"})

  checking.reseal(step, change)
  found = checking.one(step, "key_collision")
  assert "agent/params/head is a leaf and a parent" in found.evidence


def test_metadata_and_manifest_name_the_same_arrays(step):
  _edit(step, METADATA, _rekey("params/head/bias", "params/head/offset"))
  found = checking.one(step, "tree_shapes_dtypes")
  assert "lacks leaves of the manifest: params/head/bias" in found.evidence
  assert "params/head/offset" in found.evidence


def test_t11_a_shape_in_the_metadata_is_that_of_the_manifest(step):
  def write_shape(shape):
    def change(body):
      row = body["tree_metadata"]["('params/head/bias',)"]
      row["value_metadata"]["write_shape"] = shape

    return change

  _edit(step, METADATA, write_shape([sample.HORIZON * sample.ACTION]))
  assert checking.red(step) == []
  _edit(step, METADATA, write_shape([9]))
  found = checking.one(step, "tree_shapes_dtypes")
  assert found.evidence == (
    "agent/params/head/bias is [9] in its metadata, [8] in the manifest"
  )


def test_buffers_are_stored_as_told(step):
  for field, value, match in (
    ("path", "agent/steps", "agent/steps is not stored"),
    ("shape", [1], "is int32[] in the manifest"),
    ("dtype", "int64", "is int32[] in the manifest"),
  ):
    sample.write(step, **{f"model_internals/buffers/0/{field}": value})
    assert match in checking.one(step, "tree_shapes_dtypes").evidence


def test_a_hostile_expression_is_not_searched_with(step):
  def change(body):
    body["passport"]["needed"] = "(a*)*$"

  _edit(step, "config.json", change)
  found = checking.one(step, "file_roles")
  assert "is too involved" in found.evidence
  assert checking.one(step, "key_counts").status is outcome.Status.NOT_CHECKED
