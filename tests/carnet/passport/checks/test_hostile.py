"""Hostile checkpoints in a watched process: refused, and nothing executed.

The numbers are those of the threats in `docs/passport.md`; how each is carried
out stands in `threats_files.py`, `threats_arrays.py` and `threats_papers.py`.
Run with `-s` to see what refused each.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

import hostile_worker
import oms_sample
import pytest
import sample
import threats_arrays
import threats_files
import threats_papers

from carnet.checkpoint import directory
from carnet.passport import oms

THREATS = range(1, 30)
WORKER = pathlib.Path(__file__).parents[1] / "hostile_worker.py"
_BY_NUMBER = threats_files.CASES | threats_arrays.CASES | threats_papers.CASES
CASES = {
  f"T{number} {case.name}": case
  for number in sorted(_BY_NUMBER)
  for case in _BY_NUMBER[number]
}


def _row(step, case, words):
  return {
    **{"root": str(step), "words": words, "load": case.load},
    "git": any(word.startswith("--target-repo") for word in words),
  }


def _watched(rows, place, *words):
  """Returns what the worker tells of each row."""
  done = subprocess.run(
    [sys.executable, "-B", str(WORKER), *words],
    input="\n".join(map(json.dumps, rows)),
    capture_output=True,
    text=True,
    cwd=place,
  )
  assert done.returncode == 0, done.stderr
  told = [json.loads(line) for line in done.stdout.splitlines()]
  assert told.pop() == {"imported": []}
  return told


def _sound(original, place):
  """Returns the row of a signed step that nobody touched, looked at closely."""
  step = sample.copy(original, place)
  key = oms_sample.private()
  (step / directory.SIGNATURE).write_bytes(oms.sign(step, key))
  (place / "key.pub").write_bytes(oms.public_key(key))
  words = ["--rerun", f"--public-key={place}/key.pub"]
  return {"root": str(step), "words": words, "load": False, "git": False}


@pytest.fixture(scope="module")
def observed(original, tmp_path_factory):
  """Returns name -> what a watched process said of each, and its folder."""
  found, elsewhere = {}, tmp_path_factory.mktemp("elsewhere")
  for heavy in (False, True):
    rows, places = {}, {}
    if heavy:
      places["sound"] = tmp_path_factory.mktemp("sound")
      rows["sound"] = _sound(original, places["sound"])
    for name, case in CASES.items():
      if case.heavy == heavy:
        places[name] = tmp_path_factory.mktemp(name.split()[0])
        step = sample.copy(original, places[name])
        rows[name] = _row(step, case, case.forge(step) or [])
    told = _watched(rows.values(), elsewhere, *["heavy"] * heavy)
    for name, row in zip(rows, told, strict=True):
      ran = [*places[name].rglob("executed"), *elsewhere.iterdir()]
      found[name] = row | {"ran": ran}
  return found


@pytest.mark.parametrize("name", CASES)
def test_hostile_checkpoints_are_refused_and_execute_nothing(observed, name):
  row, case = observed[name], CASES[name]
  red = f" by {case.red}" if case.red else ""
  print(f"{name}: exit code {row['code']}{red}")
  assert row["tried"] == []
  assert row["ran"] == []
  assert row["code"] == case.code
  if case.red:
    assert case.red in (row["err"] if case.load else row["red"])
  assert row["err"].count("\n") == (1 if case.code == 2 else 0)
  for line in (*row["lines"], row["err"].rstrip("\n")):
    assert line.isprintable()
    assert len(line) < 2000


def test_the_watch_sees_what_is_tried(tmp_path):
  watch = hostile_worker.Watch()
  watch("open", ("/etc/passwd", "r", 0))  # of nobody's concern
  root = tmp_path / "step"
  watch.row = {"root": str(root), "words": [], "git": False}
  (tmp_path / "link").symlink_to("/etc/passwd")
  for path in (root / "config.json", tmp_path / "link", root / "../link"):
    watch("open", (path, "r", os.O_RDONLY))
  watch("open", (root / "config.json", "w", os.O_WRONLY))
  watch("import", ("orbax.checkpoint", None, None, None, None))
  with pytest.raises(PermissionError):
    watch("subprocess.Popen", ("git", ["git"], None, None))
  assert [line.split()[0] for line in watch.tried] == [
    *("reads", "reads", "writes", "import", "subprocess.Popen")
  ]


def test_a_sound_checkpoint_passes_the_same_way(observed):
  row = observed["sound"]
  assert (row["code"], row["red"], row["tried"]) == (0, [], [])


def test_every_threat_is_carried_out():
  numbers = {int(name.split()[0][1:]) for name in CASES}
  assert numbers == set(THREATS)
  codes = collections.Counter(case.code for case in CASES.values())
  print(f"{len(CASES)} hostile checkpoints, {len(numbers)} threats")
  print(", ".join(f"exit code {c}: {n}" for c, n in sorted(codes.items())))
