"""The benchmark of the loop runs as it is documented; its rates are right."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


RATES = """
import json
from benchmarks import dreamer_loop
rows = [
  {"fps/policy": 1.0, "fps/updates": 0.1},
  {"fps/policy": 10.0, "fps/updates": 2.0},
  {"fps/policy": 30.0, "fps/updates": 0.0},
  {"fps/policy": 20.0, "fps/updates": 4.0},
]
print(json.dumps([dreamer_loop._rates(rows, x) for x in (False, True)]))
dreamer_loop._rates(rows[:1], True)
"""


def test_rates_leave_out_the_first_line():
  # apart, as its flags would meet those of other scripts
  done = subprocess.run(
    [sys.executable, "-c", RATES], capture_output=True, text=True, cwd=ROOT
  )
  before, training = json.loads(done.stdout)
  assert before == {
    "env_steps_per_second_best": 30.0,
    "env_steps_per_second_median": 20.0,
    "updates_per_second_best": 4.0,
    "updates_per_second_median": 2.0,
  }
  assert training["updates_per_second_median"] == 3.0
  assert "raise --updates" in done.stderr


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
