"""Recorded answers: numbers, within bounds, with a tolerance that binds."""

import checking
import numpy as np
import pytest
import sample

from carnet.passport.checks import reference

BASE = "reference_test_vector"


def red(step):
  return checking.red(step, reference.CHECKS)


def one(step, name):
  return checking.findings(step, reference.CHECKS)[name]


def array(step, path, values):
  np.save(step / path, np.asarray(values))
  sample.write(step)


@pytest.mark.parametrize(
  "values",
  [
    np.full((10, 2), np.nan),
    np.full((10, 2), 1e6),
    np.full((10, 2), -1e6),
  ],
)
def test_golden_actions_are_numbers_within_bounds(step, values):
  array(step, sample.ACTIONS_PATH, values)
  assert red(step) == ["golden_actions_sane"]


@pytest.mark.parametrize(
  ("kind", "value", "sane"),
  [
    ("discrete_index", 1.0, True),
    ("discrete_index", 0.5, False),
    ("discrete_onehot", 0.0, False),
  ],
)
def test_golden_choices(step, kind, value, sane):
  np.save(step / sample.ACTIONS_PATH, np.full((10, 2), value))
  sample.write(
    step,
    **{
      "input_contract/actions/kind": kind,
      "input_contract/actions/classes": 2,
    },
  )
  assert (red(step) == []) == sane


@pytest.mark.parametrize(
  ("name", "value"), [("atol", 1.0), ("rtol", 9.0), ("atol", -1.0)]
)
def test_tolerances_that_promise_nothing(step, name, value):
  sample.write(step, **{f"{BASE}/{name}": value})
  assert red(step) == ["golden_actions_sane"]
