"""The table of damages: carnet notices all of them, at a size for a test."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
KINDS = [
  "flip a bit of array data",
  "flip a bit of another file",
  "truncate",
  "delete",
  "rename",
  "swap",
]


def _run(*arguments):
  program = str(ROOT / "benchmarks/corruption.py")
  done = subprocess.run(
    [sys.executable, program, "--mib=0.03", *arguments],
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout.splitlines()


@pytest.fixture(scope="module")
def rows():
  found = [json.loads(line) for line in _run("--flips=6")]
  return {(row["library"], row["damage"]): row for row in found}


def test_each_damage_is_tried_on_both(rows):
  for name in ("carnet", "orbax"):
    assert {k for library, k in rows if library == name} == set(KINDS)
  for row in rows.values():
    outcomes = ("error", "older step", "silently wrong", "harmless")
    assert sum(row[outcome] for outcome in outcomes) == row["trials"] >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_carnet_takes_the_older_step_and_names_the_damage(rows, kind):
  row = rows["carnet", kind]
  assert row["older step"] == row["named"] == row["trials"]


def test_flipped_bits_pass_through_orbax(rows):
  assert rows["orbax", "flip a bit of array data"]["silently wrong"] > 0


def test_the_table_has_a_row_for_each():
  head, line, *body = _run("--flips=1", "--markdown")
  assert len({text.count("|") for text in (head, line, *body)}) == 1
  assert len(body) == 2 * len(KINDS)
