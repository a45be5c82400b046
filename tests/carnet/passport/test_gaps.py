"""What a passport leaves open, and by whom it can be filled."""

import types
import typing

import pydantic
import pytest
import sample

from carnet.passport import gaps, schema


def nullable(kind, path=""):
  """Yields the path of every field below a type that may be null."""
  origin, inner = typing.get_origin(kind), typing.get_args(kind)
  if origin is typing.Annotated:
    yield from nullable(inner[0], path)
  elif origin in (typing.Union, types.UnionType):
    if type(None) in inner:
      yield path
    for item in inner:
      yield from nullable(item, path)
  elif origin in (tuple, dict):
    for item in inner:
      yield from nullable(item, f"{path}/*")
  elif isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in kind.model_fields:
      yield from nullable(hints[name], f"{path}/{name}" if path else name)


FIELDS = sorted(set(nullable(schema.Passport)))


def last_name(path):
  return [name for name in path.split("/") if name != "*"][-1]


def test_every_nullable_field_is_told():
  assert len(FIELDS) > 60
  for path in FIELDS:
    filled, answer = path in gaps.FILLED, last_name(path) in gaps.ANSWERS
    assert filled != answer, f"{path} is in neither table, or in both"


def test_the_tables_name_no_field_that_is_gone():
  assert set(gaps.FILLED) <= set(FIELDS)
  assert set(gaps.ANSWERS) <= set(map(last_name, FIELDS))


def test_a_complete_passport_leaves_only_what_a_person_knows(step):
  found = gaps.find(sample.passport(step))
  assert {gap.path: gap.count for gap in found if gap.who == gaps.PERSON} == {
    "input_contract/images/*/physical_mounting": 1,
    "input_contract/images/*/camera_serial": 1,
    "input_contract/images/*/camera_usb_path": 1,
    "provenance/deployment_repo": 1,
    "provenance/deployment_repo_commit": 1,
  }
  assert {gap.who for gap in found} <= {gaps.PERSON, gaps.PHASE_2}


@pytest.mark.parametrize(
  ("path", "who"),
  [
    ("reference_test_vector", gaps.PHASE_2),
    ("output_spec/smoke_results", gaps.PHASE_2),
    ("provenance/training_commit", gaps.LAUNCHER),
    ("generator", gaps.FILES),
  ],
)
def test_what_is_missing_is_named_with_who_can_fill_it(step, path, who):
  made = sample.passport(step, **{path: None})
  assert (path, who) in {(gap.path, gap.who) for gap in gaps.find(made)}
  lines = gaps.text(made).splitlines()
  heads = [line for line in lines if not line.startswith("  ")]
  row = next(line for line in lines if line.startswith(f"  {path} "))
  above = [line for line in heads if lines.index(line) < lines.index(row)]
  assert above[-1] == f"by {who}"


def test_several_of_a_kind_are_one_row(step):
  made = sample.passport(
    step,
    **{
      "input_contract/state/sub_keys/0/unit": None,
      "input_contract/state/sub_keys/2/unit": None,
    },
  )
  assert "  input_contract/state/sub_keys/*/unit (2)  " in gaps.text(made)
