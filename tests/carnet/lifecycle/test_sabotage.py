"""Killed, or out of space, at every step: the deployment stays sound."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
import sample
import worlds

from carnet.checkpoint import directory
from carnet.lifecycle import promotion, status
from carnet.passport import schema
from carnet.passport.checks import catalogue, files, signoff

PROGRAM = pathlib.Path(__file__).parent / "sabotage.py"
KEPT = ("config.json", "loop/state.json")
CHECKS = ("weight_sizes", "weight_hashes", "unlisted_files", "no_symlinks")


@pytest.fixture
def small(runs, tmp_path, monkeypatch):
  """Returns two signed checkpoints of few files, and results for both."""
  few = [check for check in files.CHECKS if check.id in CHECKS]
  monkeypatch.setattr(catalogue, "CHECKS", (*few, *signoff.CHECKS))
  steps = []
  for name, source in zip("ab", runs, strict=False):
    step = tmp_path / name
    for kept in KEPT:
      (step / kept).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(source / kept, step / kept)
    passport = schema.read(source / directory.PASSPORT).model_dump(mode="json")
    told = passport["weight_integrity"]
    told["weight_files"] = [
      row for row in told["weight_files"] if row["path"] in KEPT
    ]
    made = schema.Passport.model_validate_json(json.dumps(passport))
    (step / directory.PASSPORT).write_bytes(schema.encode(made))
    sample.sign(step)
    steps.append(step)
  results = tmp_path / "results.json"
  results.write_text(json.dumps(worlds.results(steps[0], 30, 9, 10)))
  return (*steps, results)


@pytest.fixture
def sabotage(small, tmp_path):
  """Returns a function: how, an action and a deployment -> a row a step."""

  def run(how, action, deployment):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = [how, action, small[1], small[2], deployment, scratch]
    done = subprocess.run(
      [sys.executable, PROGRAM, *map(str, words)],
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

  return run


@pytest.fixture
def promoted(small, deployment):
  """Returns the names of a first checkpoint, and of the second to come."""
  a, b, results = small
  first = worlds.promote(a, deployment, results=results).checkpoint
  elsewhere = deployment.with_name("elsewhere")
  second = worlds.promote(b, elsewhere, results=results).checkpoint
  shutil.rmtree(elsewhere)
  return first, second


def _leftovers(seen):
  return [n for n in seen["names"] if n.endswith(("ing", "torn"))]


def _half_copied(seen):
  return [name for name in seen["names"] if name.endswith(".writing")]


def test_a_promotion_killed_at_any_step_leaves_a_sound_deployment(
  sabotage, promoted, deployment
):
  first, second = promoted
  rows = sabotage("kill", "promote", deployment)
  assert len(rows) > 30
  assert {row["code"] for row in rows} == {-signal.SIGKILL}
  for row in rows:
    assert row["left"]["fault"] == ""
    # the new one is never current without a line that says so
    lines = {first: (1, 2), second: (2,)}[row["left"]["current"]]
    assert row["left"]["lines"] in lines
    assert row["again"] == ""
    assert row["then"]["current"] == second
    assert row["then"]["notes"] == []
    assert [n for n in _leftovers(row["then"]) if n != "history.torn"] == []
  halves = [row for row in rows if _half_copied(row["left"])]
  assert len(halves) > 10
  assert {row["left"]["lines"] for row in halves} == {1}
  announced = [
    row["left"] for row in rows if row["left"]["lines"] == 2
  ]  # on record, and not yet switched to
  assert {left["current"] for left in announced} == {first, second}
  currents = [row["left"]["current"] for row in rows]
  assert currents == sorted(currents, key=(first, second).index)
  assert set(currents) == {first, second}
  notes = " ".join(note for row in rows for note in row["left"]["notes"])
  assert "was cut off by a crash" in notes
  assert "was interrupted before the switch" in notes


def test_the_first_promotion_killed_at_any_step_completes_when_repeated(
  sabotage, promoted, deployment
):
  second = promoted[1]
  rows = sabotage("kill", "promote", deployment.with_name("none"))
  assert len(rows) > 30
  for row in rows:
    if row["left"] and row["left"]["current"] is None:
      assert "nothing is promoted" in row["left"]["fault"]
    assert row["again"] == ""
    assert row["then"]["current"] == second


def test_a_rollback_killed_at_any_step_leaves_a_sound_deployment(
  sabotage, small, promoted, deployment
):
  first, second = promoted
  worlds.promote(small[1], deployment, results=small[2])
  rows = sabotage("kill", first, deployment)
  assert len(rows) > 6
  lefts = [(row["left"]["lines"], row["left"]["current"]) for row in rows]
  assert {(2, second), (3, second), (3, first)} == set(lefts)
  for row in rows:
    assert row["left"]["fault"] == ""
    assert row["left"]["current"] in (first, second)
    if row["again"]:  # the switch was the last that it did
      assert row["left"]["current"] == first
      assert "is the current one already" in row["again"]
    assert row["then"]["current"] == first


def test_a_full_disk_leaves_nothing_half_written(
  sabotage, promoted, deployment
):
  first, second = promoted
  before = ["checkpoints", f"checkpoints/{first}", "current", "history.jsonl"]
  rows = sabotage("full", "promote", deployment)
  assert len(rows) > 15
  for row in rows:
    assert row["code"] == 1
    assert "No space left on device" in row["message"]
    left = row["left"]
    assert (left["fault"], left["notes"]) == ("", [])
    assert (left["current"], left["lines"]) == (first, 1)
    # a whole copy may stay: the next attempt uses it
    assert set(left["names"]) - {*before, f"checkpoints/{second}"} <= {".lock"}
    assert row["again"] == ""
    assert row["then"]["current"] == second


def test_a_killed_program_lets_go_of_the_lock(small, deployment):
  a, b, results = small
  program = (
    "import os, pathlib, signal, sys\n"
    "from carnet.lifecycle import deployment\n"
    "with deployment.locked(pathlib.Path(sys.argv[1]), make=True):\n"
    "  os.kill(os.getpid(), signal.SIGKILL)\n"
  )
  done = subprocess.run([sys.executable, "-c", program, str(deployment)])
  assert done.returncode == -signal.SIGKILL
  request = promotion.Request("good", "tester", results=results)
  assert promotion.promote(a, deployment, request).record.previous is None
  assert status.status(deployment).notes == ()
  assert b.exists()
