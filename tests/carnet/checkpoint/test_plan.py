"""The plan of a restore: a partition of the leaves, and its refusals."""

import re

import hypothesis
import pytest
from hypothesis import strategies

from carnet import errors
from carnet.checkpoint import faults, leaves, plan

F32 = leaves.Spec((2, 3), "float32")
BF16 = leaves.Spec((2, 3), "bfloat16")
ROW = leaves.Spec((3,), "float32")

PATHS = strategies.lists(
  strategies.sampled_from(["agent", "data", "x", "y", "w1", "w2"]),
  min_size=1,
  max_size=3,
).map("/".join)
SPECS = strategies.dictionaries(
  PATHS, strategies.sampled_from([F32, BF16, ROW, leaves.JSON]), max_size=8
)
REGEXES = strategies.none() | strategies.sampled_from(
  [".*", "agent/.*", "(agent|data)/x.*", ".*w[12]", "x", "(?!agent).*"]
)
RENAMES = strategies.dictionaries(
  strategies.sampled_from(["agent/(.*)", "(.*)/w1", "x", ".*/y"]),
  strategies.sampled_from(["data/\\g<0>", "other", "agent/w2"]),
  max_size=2,
)


def _statuses(rows):
  return {row.path: row.status for row in rows}


@hypothesis.given(
  SPECS, SPECS, REGEXES, RENAMES, strategies.sampled_from([None, ("agent",)])
)
@hypothesis.settings(max_examples=300, deadline=None)
def test_a_plan_is_a_partition(stored, target, regex, rename, components):
  try:
    rows = plan.make(stored, target, components, regex, rename)
  except errors.UserError:
    return  # the cases are below
  assert len({row.path for row in rows}) == len(rows)
  assert {r.path for r in rows if r.target} == set(target)
  assert sorted(r.source for r in rows if r.source) == sorted(stored)
  for row in rows:
    chosen = regex is None or bool(re.fullmatch(regex, row.path))
    if components is not None:
      chosen = chosen and row.path.split("/")[0] in components
    both = row.stored is not None and row.target is not None
    assert (row.status in (plan.KEPT, plan.IGNORED)) == (not chosen)
    assert (row.status in (plan.RESTORED, plan.CHANGED)) == (chosen and both)
    if row.status == plan.RESTORED:
      assert row.target.accepts(row.stored)
    assert row.stored == (stored[row.source] if row.source else None)


def test_each_status_by_hand():
  stored = {"a/same": F32, "a/shape": F32, "a/dtype": F32, "a/gone": F32}
  target = {"a/same": F32, "a/shape": ROW, "a/dtype": BF16, "a/new": F32}
  assert _statuses(plan.make(stored, target)) == {
    "a/same": plan.RESTORED,
    "a/shape": plan.CHANGED,
    "a/dtype": plan.CHANGED,
    "a/gone": plan.UNEXPECTED,
    "a/new": plan.MISSING,
  }
  rows = plan.make(stored | {"b/x": F32}, target, regex="a/(same|new)")
  assert _statuses(rows) == {
    "a/same": plan.RESTORED,
    "a/shape": plan.KEPT,
    "a/dtype": plan.KEPT,
    "a/gone": plan.IGNORED,
    "a/new": plan.MISSING,
    "b/x": plan.IGNORED,
  }


def test_the_error_names_every_leaf_with_both_sides():
  stored = {"a/shape": F32, "a/dtype": F32, "a/gone": F32, "a/same": F32}
  target = {"a/shape": ROW, "a/dtype": BF16, "a/new": F32, "a/same": F32}
  with pytest.raises(faults.MismatchError) as caught:
    plan.check(plan.make(stored, target))
  message = str(caught.value)
  assert "a/shape is float32[3], stored float32[2, 3]" in message
  assert "a/dtype is bfloat16[2, 3], stored float32[2, 3]" in message
  assert "unexpected: a/gone" in message
  assert "missing: a/new" in message
  assert "a/same" not in message


def test_renaming_comes_before_the_expression():
  stored = {"agent/enc/w": F32, "agent/dec/w": F32}
  target = {"agent/encoder/w": F32, "agent/dec/w": F32}
  rename = {"agent/enc/(.*)": r"agent/encoder/\1"}
  rows = plan.make(stored, target, regex="agent/encoder/.*", rename=rename)
  assert _statuses(rows) == {
    "agent/encoder/w": plan.RESTORED,
    "agent/dec/w": plan.KEPT,
  }
  assert [row.source for row in rows] == ["agent/dec/w", "agent/enc/w"]


def test_the_first_rule_that_matches_in_full_wins():
  stored = {"a/x": F32, "a/xy": F32}
  rename = {"a/x": "b/first", "a/.*": "b/second"}
  rows = plan.make(stored, {}, rename=rename)
  assert {row.source: row.path for row in rows} == {
    "a/x": "b/first",
    "a/xy": "b/second",
  }


@pytest.mark.parametrize(
  ("options", "named"),
  [
    ({"regex": "a"}, "matches no stored leaf; it must match a whole path"),
    ({"regex": "a/.*", "components": ["b"]}, "unknown stored component 'b'"),
    ({"regex": "("}, "is not a regular expression"),
    ({"rename": {"zz": "b"}}, r"match no stored leaf: \['zz'\]"),
    ({"rename": {"a/.*": "b/same"}}, "'a/y' and 'a/x' one path, 'b/same'"),
    ({"rename": {"a/.*": r"b/\1"}}, "does not fit"),
    ({"rename": {"[": ""}}, "is not a regular expression"),
  ],
)
def test_expressions_that_cannot_be_meant_are_refused(options, named):
  with pytest.raises(errors.UserError, match=named):
    plan.make({"a/x": F32, "a/y": F32}, {"a/x": F32}, **options)


@pytest.mark.parametrize(
  ("target", "stored", "accepted"),
  [
    ("int32", "python:int", True),
    ("python:int", "uint32", True),
    ("python:int", "bool", False),
    ("python:bool", "bool", True),
    ("python:float", "bfloat16", True),
    ("python:float", "int32", False),
    ("float32", "int32", False),
    ("float32", "float64", False),
    ("key:rbg", "key:threefry2x32", False),
    ("python:int", "json", False),
    ("json", "json", True),
  ],
)
def test_only_python_numbers_stand_for_another_dtype(target, stored, accepted):
  here, there = leaves.Spec((), target), leaves.Spec((), stored)
  assert here.accepts(there) == accepted
