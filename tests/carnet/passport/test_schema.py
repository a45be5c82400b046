"""The schema as published, limits of JSON, and passports of older versions."""

import copy
import json
import pathlib

import pytest
import sample

from carnet import errors
from carnet.checkpoint import directory
from carnet.passport import fields, migrations, schema, strict_json

DOCS = pathlib.Path(__file__).parents[3] / "docs"
PUBLISHED = {
  "passport.schema.json": schema.json_schema,
  "signoff.schema.json": schema.signoff_json_schema,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schema_is_that_of_the_code(name):
  """After a change: `python -m carnet.passport.schema docs` writes them."""
  assert json.loads((DOCS / name).read_text()) == PUBLISHED[name]()


@pytest.fixture(scope="module")
def document(tmp_path_factory):
  """Returns a valid passport as JSON values."""
  step = sample.checkpoint(tmp_path_factory.mktemp("schema"))
  sample.write(step)
  return json.loads((step / directory.PASSPORT).read_bytes())


def _decode(document):
  return schema.decode(json.dumps(document).encode(), "p.json")


def test_encoding_comes_back_bit_by_bit(document):
  content = schema.encode(_decode(document))
  assert schema.encode(schema.decode(content, "p.json")) == content
  assert content.endswith(b"}\n")
  keys = list(json.loads(content))
  assert keys == sorted(keys)


def test_every_fault_is_named(document):
  spoiled = copy.deepcopy(document)
  spoiled["family"] = "ACT"
  spoiled["input_contract"]["state"]["dim"] = "3"
  spoiled["input_contract"]["actions"]["more"] = 1
  del spoiled["provenance"]["lineage"]
  with pytest.raises(errors.UserError) as error:
    _decode(spoiled)
  for place in (
    "/family",
    "/input_contract/state/dim",
    "/input_contract/actions/more",
    "/provenance/lineage",
  ):
    assert place in str(error.value)


@pytest.mark.parametrize(
  "path", ["../x", "/x", "a//b", "a/./b", "a\\b", "C:/x", "a\0b", "", "a/"]
)
def test_no_path_leads_out(document, path):
  spoiled = copy.deepcopy(document)
  spoiled["weight_integrity"]["weight_files"][0]["path"] = path
  with pytest.raises(errors.UserError, match="weight_files/0/path"):
    _decode(spoiled)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b'{"a": 1, "a": 2}', "twice"),
    (b"[NaN]", "NaN"),
    (b"[-Infinity]", "Infinity"),
    (b"[1e999]", "beyond"),
    (b"[9007199254740993]", "readers round it"),
    (b"[" * 65 + b"]" * 65, "64 levels"),
    (b'{"a":' * 65 + b"1" + b"}" * 65, "64 levels"),
    (b'["' + b"x" * (fields.LARGEST_TEXT + 1) + b'"]', "characters"),
    (b"\xff\xfe", "no sound JSON"),
    (b"", "no sound JSON"),
    (b" " * (strict_json.LARGEST_BYTES + 1), "at most"),
  ],
)
def test_limits_of_json(content, message):
  with pytest.raises(errors.UserError, match=message):
    strict_json.decode(content, "x.json")


def test_brackets_in_texts_are_no_levels():
  text = "[{" * 200 + '\\"'
  content = json.dumps([text, {"k": [1.5, -3]}]).encode()
  assert strict_json.decode(content, "x.json") == [text, {"k": [1.5, -3]}]


def test_a_key_twice_among_many_costs_no_square():
  pairs = ",".join(f'"k{index}": 0' for index in range(200_000))
  content = f'{{{pairs}, "k0": 0}}'.encode()
  with pytest.raises(errors.UserError, match="'k0' is there twice"):
    strict_json.decode(content, "x.json")


def test_version_0_2(document):
  """It had parameters by name, and quantiles of each dimension."""
  old = copy.deepcopy(document)
  old["schema_version"] = "0.2"
  parameters = old["model_internals"]["parameters"]
  old["model_internals"]["parameters"] = {
    "summary": parameters,
    "by_name": {"w": [3, 4]},
  }
  state = old["input_contract"]["state"]["normalization"]
  state["per_dim_q02"] = [0.0]
  state["stats_fingerprint"]["per_dim_q98"] = [1.0]
  assert _decode(old) == _decode(document)


def test_version_0_1(document):
  """It had a text where the mask of relative dimensions is."""
  old = copy.deepcopy(document)
  old["schema_version"] = "0.1"
  old["input_contract"]["actions"]["delta_dims"] = "joint targets"
  found = _decode(old).input_contract.actions
  assert found.delta_dims.delta_mask == (False,) * found.dim
  assert found.delta_dims.absolute_dims_reason == "joint targets"


@pytest.mark.parametrize("version", ["2.0", None, 1.0])
def test_unknown_versions(document, version):
  old = document | {"schema_version": version}
  with pytest.raises(errors.UserError, match="schema_version"):
    _decode(old)


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_no_object(content):
  with pytest.raises(errors.UserError, match="no JSON object"):
    schema.decode(content.encode(), "p.json")


def test_upgrading_leaves_the_document_alone(document):
  old = document | {"schema_version": "0.2"}
  before = copy.deepcopy(old)
  migrations.upgrade(old, "p.json")
  assert old == before
