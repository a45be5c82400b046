"""The smoke buckets: recorded failures, and numbers that contradict."""

import checking
import pytest
import sample

from carnet.passport.checks import smoke

BASE = "output_spec/smoke_results"
BUCKETS = ("determinism", "nan_inf", "liveness", "distribution", "range_check")


def red(step):
  return checking.red(step, smoke.CHECKS)


def one(step, name):
  return checking.findings(step, smoke.CHECKS)[name].finding


def test_the_sample_is_green(step):
  results = checking.findings(step, smoke.CHECKS)
  assert {r.status for r in results.values()} == {"pass"}


def test_what_was_not_measured_is_not_a_pass(step):
  sample.write(step, **{BASE: None})
  results = checking.findings(step, smoke.CHECKS)
  assert {r.status for r in results.values()} == {"not_checked"}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_recorded_failure(step, bucket):
  sample.write(step, **{f"{BASE}/{bucket}/status": "fail"})
  assert red(step) == [f"smoke_{bucket}"]


@pytest.mark.parametrize(
  ("pointer", "value"),
  [
    ("determinism/max_abs_diff", 1e-9),
    ("determinism/max_abs_diff", -1.0),
    ("determinism/n_runs", 1),
    ("determinism/allowed", 1e9),
    ("nan_inf/n_nan", 1),
    ("nan_inf/n_inf", 1),
    ("nan_inf/n_values", 0),
    ("nan_inf/checked", []),
    ("liveness/n_inputs", 1),
    ("liveness/min_pairwise_output_diff", 0.0),
    ("liveness/dead_output_dims", [1]),
    ("liveness/input_sensitivity", {}),
    ("liveness/input_sensitivity", {"images/top": 0.5}),
    ("liveness/input_sensitivity", {"state": 0.5}),
    ("liveness/input_sensitivity", {"images/top": 0.0, "state": 0.5}),
    ("distribution/mean", [0.0]),
    ("distribution/std", [0.0, 1.0]),
    ("distribution/min", [9.0, 9.0]),
    ("distribution/max", [-9.0, -9.0]),
    ("distribution/mean", [1.0, 0.25]),
    ("distribution/max_z", 3.0),
    ("distribution/max_z", None),
    ("distribution/reference_mean", None),
    ("distribution/reference_mean", [0.5, 0.5]),
    ("distribution/reference_std", [9.0, 9.0]),
    ("distribution/allowed_z", 1e9),
    ("range_check/n_violations", 1),
    ("range_check/worst", 0.5),
    ("range_check/low", [0.0]),
    ("range_check/high", [9.0] * 3),
    ("range_check/low", [5.0, 5.0]),
    ("range_check/low", [-100.0, -100.0]),
    ("range_check/high", [0.0, 0.0]),
    ("range_check/bound_source", "clip_value"),
  ],
)
def test_numbers_that_contradict_their_status(step, pointer, value):
  sample.write(step, **{f"{BASE}/{pointer}": value})
  bucket = pointer.partition("/")[0]
  assert red(step) == [f"smoke_{bucket}"]
  assert one(step, f"smoke_{bucket}").where.startswith(f"/{BASE}/{bucket}")


def test_an_accelerator_may_differ_as_much_as_it_says(step):
  base = f"{BASE}/determinism"
  gpu = {f"{base}/platform": "gpu", f"{base}/max_abs_diff": 1e-6}
  sample.write(step, **gpu)
  assert red(step) == ["smoke_determinism"]
  sample.write(step, **gpu, **{f"{base}/allowed": 1e-5})
  assert red(step) == []


def test_random_numbers_are_those_that_are_required(step):
  config = {
    **{"prng_impl": "rbg", "threefry_partitionable": True, "x64": False},
    **{"matmul_precision": None, "xla_flags": ""},
  }
  path = "model_identity/runtime_constraints/jax_config"
  sample.write(step, **{path: config})
  assert red(step) == ["smoke_determinism"]
  sample.write(step, **{path: config | {"prng_impl": "threefry2x32"}})
  assert red(step) == []


def test_a_choice_that_was_never_made_is_no_dead_output(step):
  sample.write(
    step,
    **{
      "input_contract/actions/kind": "discrete_onehot",
      "input_contract/actions/classes": 2,
      f"{BASE}/liveness/dead_output_dims": [1],
      f"{BASE}/distribution/std": [0.5, 0.0],
    },
  )
  assert red(step) == []


def space(step, **changes):
  made = sample.passport(step).model_dump(mode="json")
  low, high = (made["input_contract"]["actions"][x] for x in ("low", "high"))
  base = f"{BASE}/range_check"
  return {
    f"{base}/bound_source": "action_space",
    f"{base}/low": low,
    f"{base}/high": high,
    **changes,
  }


def test_bounds_of_the_action_space_are_the_contracts(step):
  sample.write(step, **space(step))
  assert red(step) == []
  wrong = {f"{BASE}/range_check/high": [99.0, 99.0]}
  sample.write(step, **space(step, **wrong))
  assert red(step) == ["smoke_range_check"]


def test_actions_that_are_scaled_to_bounds_lie_about_one(step):
  norm = {"input_contract/actions/normalization": {"mode": "min_max"}}
  base = f"{BASE}/range_check"
  distribution = {
    f"{BASE}/distribution/min": [-1.0, -1.0],
    f"{BASE}/distribution/max": [1.0, 1.0],
  }
  within = {f"{base}/low": [-7.0, -7.0], f"{base}/high": [7.0, 7.0]}
  sample.write(step, **space(step, **norm, **distribution, **within))
  assert red(step) == []
  beyond = {f"{base}/low": [-99.0, -99.0], f"{base}/high": [99.0, 99.0]}
  sample.write(step, **space(step, **norm, **distribution, **beyond))
  assert red(step) == ["smoke_range_check"]


def test_z_score_by_hand():
  assert smoke.z_score([1.0, 2.0], [0.0, 2.0], [0.5, 0.5]) == 2.0
  # a deviation of 0.001 counts as 0.01
  assert smoke.z_score([0.1], [0.0], [0.001]) == pytest.approx(10.0)
