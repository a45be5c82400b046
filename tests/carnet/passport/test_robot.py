"""The gate on a robot that has pydantic and numpy, and nothing else."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
THEIRS = ("pydantic", "pydantic_core", "numpy", "annotated_types")
THEIRS += ("typing_extensions", "typing_inspection")
PROGRAM = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path, target=None):
    known = {{"carnet", *{THEIRS!r}, *sys.stdlib_module_names}}
    if name.split(".")[0] not in known and name[0] != "_":
      raise ModuleNotFoundError(f"no module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv[0] = "validate-checkpoint"
import runpy
runpy.run_module("carnet.passport.validate_command", run_name="__main__")
"""


@pytest.fixture
def validate(step):
  def run(*flags):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
      [sys.executable, "-c", PROGRAM, step, "--require-signoff", *flags],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
    )

  return run


def test_it_validates_and_counts_what_it_could_not(validate):
  done = validate("--format=json")
  assert (done.returncode, done.stderr) == (0, "")
  results = json.loads(done.stdout)["checks"]
  status = {row["id"]: row["status"] for row in results}
  assert "fail" not in status.values()
  assert status["weight_hashes"] == status["norm_round_trip"] == "pass"
  for name in ("required_versions", "reference_range"):
    assert status[name] == "not_checked"


def test_it_refuses(validate, step):
  path = step / "stats.json"
  path.write_bytes(path.read_bytes() + b" ")
  done = validate()
  assert done.returncode == 1
  assert "weight_sizes" in done.stdout
  assert "Traceback" not in done.stderr
