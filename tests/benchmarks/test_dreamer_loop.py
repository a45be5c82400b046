"""The benchmark of the loop runs as it is documented; its rates are right."""

import pathlib
import subprocess
import sys

import pytest

from benchmarks import dreamer_loop
from carnet import errors

ROOT = pathlib.Path(__file__).parents[2]


def test_rates_leave_out_the_first_line():
  rows = [
    {"fps/policy": 1.0, "fps/updates": 0.1},
    {"fps/policy": 10.0, "fps/updates": 2.0},
    {"fps/policy": 30.0, "fps/updates": 0.0},
    {"fps/policy": 20.0, "fps/updates": 4.0},
  ]
  assert dreamer_loop._rates(rows, training=False) == {
    "env_steps_per_second_best": 30.0,
    "env_steps_per_second_median": 20.0,
    "updates_per_second_best": 4.0,
    "updates_per_second_median": 2.0,
  }
  found = dreamer_loop._rates(rows, training=True)
  assert found["updates_per_second_median"] == 3.0
  with pytest.raises(errors.UserError, match="raise --updates"):
    dreamer_loop._rates(rows[:1], training=True)


def test_unknown_cases_are_named():
  done = subprocess.run(
    [
      sys.executable,
      str(ROOT / "benchmarks/dreamer_loop.py"),
      "--cases=walker",
    ],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  assert "did you mean 'walker_1m'" in done.stderr
  assert not done.stdout
