"""A quickstart prints its result whatever became of the papers."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# everything that takes time does nothing, and the papers fail
PROGRAM = """
import pathlib, types
from act import demonstrations
from carnet import cli, errors, evaluation, policy
from scripts import {name} as quickstart, papers

def fail(workdir):
  raise errors.UserError("the disk is full")

def evaluate(load, seeds):
  numbers = ("success_rate", "low", "high", "mean_return", "standard_error")
  found = dict.fromkeys(numbers, 0.5) | {{"episodes": len(seeds)}}
  return types.SimpleNamespace(
    checkpoint=load(), evaluation=types.SimpleNamespace(summary=lambda: found)
  )

demonstrations.collect = quickstart.train.train = lambda *_: None
papers.complete, evaluation.evaluate = fail, evaluate
evaluation.print_report = lambda report: None
policy.without_passport = lambda workdir: workdir / "checkpoints/1"
cli.run(quickstart.main)
"""


@pytest.mark.parametrize("name", ["quickstart", "dreamer_quickstart"])
def test_papers_that_fail_come_after_the_result(name):
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM.format(name=name)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2, done.stderr
  assert done.stderr == "error: the disk is full\n"
  result = json.loads(done.stdout.splitlines()[-1])
  assert result["episodes"] > 0
  assert result["signed"] is False
