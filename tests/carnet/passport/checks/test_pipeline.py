"""The pipeline: in order, and as the contract has it, both ways."""

import importlib.metadata
import sys
import types

import checking
import pytest
import sample

from carnet.passport import chains, context, family, prepared, sign
from carnet.passport.checks import pipeline

PIPE = "transform_pipeline"


def red(step):
  return checking.red(step, pipeline.CHECKS)


def one(step, name, **options):
  return checking.findings(step, pipeline.CHECKS, **options)[name]


def code(step):
  return one(step, "pipeline_matches_code", rerun=True)


def rows(step):
  return sample.passport(step).model_dump(mode="json")[PIPE]


def numbered(listed):
  return [{**row, "index": index} for index, row in enumerate(listed)]


def resize(height=sample.HEIGHT, width=sample.WIDTH):
  return {
    **{"height": height, "width": width, "method": "bilinear"},
    **{"antialias": True, "keep_aspect": False, "pad_value": None},
  }


def resize_step(**params):
  return {
    **{"index": 0, "stage": "pre", "op": "resize", "params": resize(**params)},
    **{"input_key": sample.CAMERA, "output_key": sample.CAMERA},
    **{"invertible": False, "code_ref": "elsewhere"},
  }


def test_the_sample_is_green(step):
  assert red(step) == []
  assert one(step, "single_resize").status == "pass"
  assert code(step).status == "not_checked"


def test_an_empty_pipeline(step):
  sample.write(step, **{PIPE: []})
  assert "pipeline_nonempty" in red(step)


def test_steps_count_from_zero(step):
  sample.write(step, **{f"{PIPE}/2/index": 7})
  assert "pipeline_order" in red(step)


def test_what_comes_after_the_model_is_last(step):
  listed = rows(step)
  sample.write(step, **{PIPE: numbered([*listed[3:], *listed[:3]])})
  assert "pipeline_order" in red(step)


def test_a_step_reads_what_is_there_by_then(step):
  listed = rows(step)
  listed[0]["input_key"] = "scaled"
  listed[1]["output_key"] = "scaled"
  sample.write(step, **{PIPE: listed})
  found = one(step, "pipeline_order").finding
  assert found.status == "fail"
  assert "which step 1 makes" in found.evidence


def test_states_that_the_contract_does_not_know(step):
  sample.write(
    step,
    **{"input_contract/state/dim": 0, "input_contract/state/sub_keys": []},
  )
  assert "pipeline_order" in red(step)


def test_actions_that_the_model_does_not_give(step):
  sample.write(step, **{f"{PIPE}/3/input_key": "torque"})
  assert "pipeline_order" in red(step)


@pytest.mark.parametrize(
  ("pointer", "value"),
  [
    (f"{PIPE}/0/params/divisor", 1.0),
    (f"{PIPE}/1/params/constants/mean", [0.5, 0.5, 0.5]),
    (f"{PIPE}/1/params/epsilon", 1e-3),
    (f"{PIPE}/2/params/std_floor", 0.5),
    (f"{PIPE}/2/params/statistics/key", "action"),
    (f"{PIPE}/3/params/statistics/key", "state"),
    (f"{PIPE}/3/params/epsilon", 1e-3),
    (f"{PIPE}/4/params/horizon", 5),
    (f"{PIPE}/4/params/n_action_steps", 1),
    (f"{PIPE}/4/params/temporal_ensemble_coefficient", 0.01),
    ("input_contract/state/normalization/std_floor", 0.5),
    ("input_contract/state/normalization", None),
    ("input_contract/state/normalization/mode", "min_max"),
    ("input_contract/state/normalization/mode", "symlog"),
    ("input_contract/actions/normalization", None),
    ("input_contract/images/0/normalization", None),
    ("input_contract/images/0/normalization/mode", "symlog"),
    ("input_contract/images/0/resize", resize()),
    ("input_contract/actions/horizon", 2),
    ("input_contract/actions/n_action_steps", 1),
    ("input_contract/temporal/action_repeat", 2),
  ],
)
def test_contract_and_pipeline_are_one(step, pointer, value):
  sample.write(step, **{pointer: value})
  assert "pipeline_matches_contract" in red(step)


@pytest.mark.parametrize("left_out", range(5))
def test_no_step_can_be_left_out(step, left_out):
  listed = rows(step)
  del listed[left_out]
  sample.write(step, **{PIPE: numbered(listed)})
  assert "pipeline_matches_contract" in red(step)


@pytest.mark.parametrize("twice", range(5))
def test_no_step_can_be_done_twice(step, twice):
  listed = rows(step)
  listed.insert(twice, listed[twice])
  sample.write(step, **{PIPE: numbered(listed)})
  assert red(step), listed[twice]


def test_a_resize_is_that_of_the_contract(step):
  listed = numbered([resize_step(), *rows(step)])
  sample.write(
    step, **{PIPE: listed, "input_contract/images/0/resize": resize()}
  )
  assert red(step) == []
  sample.write(
    step,
    **{PIPE: listed, "input_contract/images/0/resize": resize(height=24)},
  )
  assert red(step) == ["pipeline_matches_contract"]
  sample.write(step, **{PIPE: listed})
  assert red(step) == ["pipeline_matches_contract"]


def test_bounds_of_actions_are_those_of_the_contract(step):
  made = sample.passport(step).model_dump(mode="json")
  low, high = (made["input_contract"]["actions"][x] for x in ("low", "high"))
  listed = rows(step)
  listed[3] |= {
    "op": "from_bounds",
    "params": {"low": low, "high": high, "clip": True},
  }
  spec = {"mode": "min_max", "clip": [-1.0, 1.0]}
  norm = "input_contract/actions/normalization"
  sample.write(step, **{PIPE: listed, norm: spec})
  assert red(step) == []
  sample.write(step, **{PIPE: listed, norm: {"mode": "min_max"}})
  assert red(step) == ["pipeline_matches_contract"]
  listed[3]["params"]["high"] = [x + 1 for x in high]
  sample.write(step, **{PIPE: listed, norm: spec})
  assert red(step) == ["pipeline_matches_contract"]


def test_more_steps_than_any_policy_takes(step):
  listed = numbered(rows(step)[:1] * (chains.MOST_STEPS + 1))
  sample.write(step, **{PIPE: listed})
  found = one(step, "pipeline_order").finding
  assert found.status == "fail"
  assert "at most 1000" in found.evidence


def by_numpy(found, change=lambda made: made):
  return lambda observed: change(prepared.by_pipeline(found, observed))


def test_code_that_does_the_same(step, monkeypatch):
  monkeypatch.setattr(prepared, "by_code", by_numpy)
  assert code(step).status == "pass"


@pytest.mark.parametrize(
  ("change", "why"),
  [
    (lambda made: made | {"state": made["state"] + 1e-3}, "differs by 0.001"),
    (lambda made: {"state": made["state"]}, "only the pipeline makes"),
    (lambda made: made | {"goal": made["state"]}, "only the code makes"),
    (lambda made: made | {"state": made["state"][:, :2]}, "by the code"),
  ],
)
def test_code_that_does_something_else(step, monkeypatch, change, why):
  monkeypatch.setattr(
    prepared, "by_code", lambda found: by_numpy(found, change)
  )
  found = code(step).finding
  assert found.status == "fail"
  assert why in found.evidence


def test_code_is_found_by_the_family_that_is_installed(step, monkeypatch):
  entry = importlib.metadata.EntryPoint(
    "somewhere_else", "somewhere_else.contract", "carnet.families"
  )
  monkeypatch.setattr(family, "entries", lambda group: (entry,))
  assert code(step).status == "not_checked"  # it is not installed
  module = types.ModuleType("somewhere_else.subject")

  def prepared_by_code(directory, observed):
    return prepared.by_pipeline(context.Context(directory), observed)

  module.prepared_by_code = prepared_by_code
  monkeypatch.setitem(
    sys.modules, "somewhere_else", types.ModuleType("somewhere_else")
  )
  monkeypatch.setitem(sys.modules, module.__name__, module)
  assert code(step).status == "pass"


def test_a_family_that_is_not_installed(step):
  assert code(step).status == "not_checked"


def test_whoever_signs_compares_with_the_code(step):
  evidence = {}
  for options in ({}, {"compare_code": True}):
    evidence[bool(options)] = code_of(step, **options).finding.evidence
  assert "when it is signed" in evidence[False]
  _, report = sign.sign(step, sign.Request(reason="a test", dry_run=True))
  found = {x.check.id: x.finding for x in report.results}
  assert found["pipeline_matches_code"].evidence == evidence[True]


def code_of(step, **options):
  return one(step, "pipeline_matches_code", **options)
