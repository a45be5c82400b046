"""The benchmark's path at a size for a CPU, as the commands a user types."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from carnet import intervals

ROOT = pathlib.Path(__file__).parents[2]


def _run(workdir, *arguments):
  return subprocess.run(
    [
      sys.executable,
      str(ROOT / "benchmarks/aloha_paper.py"),
      "--scale=tiny",
      "--renderer=raycast",
      f"--workdir={workdir}",
      *arguments,
    ],
    capture_output=True,
    text=True,
    cwd=ROOT,
    # compiles in a fifth of the time
    env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
  )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Returns what each of these commands did, one after the other."""
  workdir = tmp_path_factory.mktemp("paper") / "run"
  return workdir, {
    "too early": _run(workdir, "--part=evaluate"),
    "collect": _run(workdir, "--part=collect"),
    "out of time": _run(workdir, "--part=train", "--minutes=0"),
    "all": _run(workdir),
    "again": _run(workdir),
  }


def _figures(run):
  lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
  rows = [json.loads(line) for line in lines]
  return {row["figure"]: row for row in rows}


def test_figures_are_those_of_the_run(runs):
  workdir, done = runs
  assert done["all"].returncode == 0, done["all"].stderr
  figures = _figures(done["all"])
  assert list(figures) == [
    "collect_seconds",
    "train_seconds",
    "evaluate_seconds",
    "steps",
    "batch_size",
    "samples_per_second",
    "success_rate",
  ]
  for row in figures.values():
    assert row["benchmark"] == "aloha_paper"
    assert row["task"] == "aloha/transfer_cube"
    assert row["device"] == f"cpu, {os.cpu_count()} CPU cores"
  assert figures["steps"]["value"] == 4
  assert figures["batch_size"]["value"] == 4
  for name in ("collect_seconds", "train_seconds", "samples_per_second"):
    assert figures[name]["value"] > 0
  (results,) = workdir.glob("evaluation/*/results.json")
  episodes = json.loads(results.read_text())["per_episode"]
  assert [row["seed"] for row in episodes] == [0, 1]
  successes = sum(row["success"] for row in episodes)
  found = figures["success_rate"]
  assert (found["value"], found["episodes"]) == (successes / 2, 2)
  assert (found["low"], found["high"]) == intervals.wilson(successes, 2)


def test_row_stands_beside_published_figures(runs):
  _, done = runs
  table = [x for x in done["all"].stdout.splitlines() if x.startswith("|")]
  head, rule, row = ([y.strip() for y in x.split("|")[1:-1]] for x in table)
  assert len(head) == len(rule) == len(row)
  cells = dict(zip(head, row, strict=True))
  assert cells["scripted task"] == "transfer cube, 32x32 raycast"
  assert cells["paper"] == "86 %"
  assert cells["LeRobot, a user's run"] == "93 % [89, 96]"
  found = _figures(done["all"])["success_rate"]
  rate, low, high = (100 * found[x] for x in ("value", "low", "high"))
  assert cells["carnet, 2 seeds"] == f"{rate:.0f} % [{low:.0f}, {high:.0f}]"
  assert re.match(r"4 x 4 samples in \d", cells["carnet's training"])


def test_again_nothing_is_done_again(runs):
  _, done = runs
  assert done["again"].returncode == 0, done["again"].stderr
  lines = done["again"].stdout.splitlines()
  parts = ("collect", "train", "evaluate")
  assert lines[:3] == [f"{part}: finished before" for part in parts]
  # the seconds of all parts too: nothing was added to them
  assert _figures(done["again"]) == _figures(done["all"])
  assert lines[3:] == done["all"].stdout.splitlines()[-len(lines[3:]) :]


def test_parts_go_on_where_others_stopped(runs):
  _, done = runs
  assert list(_figures(done["collect"])) == ["collect_seconds"]
  assert done["out of time"].returncode == 130
  assert "--minutes=0 are over" in done["out of time"].stderr
  assert "run the same command again" in done["out of time"].stderr
  assert done["all"].stdout.startswith("collect: finished before\n")
  before, after = _figures(done["collect"]), _figures(done["all"])
  assert after["collect_seconds"] == before["collect_seconds"]


def test_untrained_is_not_evaluated(runs):
  _, done = runs
  assert done["too early"].returncode == 2
  assert "trained for 0 of 4 steps" in done["too early"].stderr
  assert done["too early"].stderr.count("\n") == 1
