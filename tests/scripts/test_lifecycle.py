"""Every command of scripts/lifecycle.py: what it prints, and its exit code."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from carnet import errors
from carnet.checkpoint import directory
from carnet.lifecycle import gate
from carnet.passport import oms

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "carnet/passport"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "carnet/lifecycle"))
import oms_sample
import sample
import worlds

PROGRAM = pathlib.Path(__file__).parents[2] / "scripts" / "lifecycle.py"
HEAVY = {"jax", "jaxlib", "flax", "orbax", "tensorstore", "rich", "PIL"}


@pytest.fixture(scope="module")
def script(load_script):
  """Returns the script as a module."""
  return load_script("lifecycle")


@pytest.fixture
def call(script, call_script):
  """Returns a function: words -> exit code, stdout and stderr."""
  return lambda *words: call_script(script, words)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Returns two runs with a signed step; the whole catalogue passes."""
  root = tmp_path_factory.mktemp("runs")
  original = sample.checkpoint(root / "original")
  return [worlds.run(original, root / name, name) for name in "ab"]


@pytest.fixture
def deployment(tmp_path):
  return tmp_path / "deployment"


def _promote(call, step, deployment, *more):
  asked = (f"--to={deployment}", "--reason=best of two", "--by=tester")
  return call("promote", step, *asked, *more)


def test_from_candidates_to_rollback(call, runs, deployment):
  a, b = runs
  code, out, err = _promote(call, a, deployment)
  assert (code, err) == (0, "")
  name = os.readlink(deployment / "current").removeprefix("checkpoints/")
  assert out.splitlines() == [
    f"promoted {name}: step 30, signed pass, 90% [60%, 98%], 10 episodes of "
    "scripts/eval.py",
    "before: nothing",
    f"path: {deployment}/checkpoints/{name}",
  ]
  # a workdir means its newest step
  assert _promote(call, b.parent.parent, deployment, "--json")[0] == 0

  code, out, _ = call("candidates", b.parent.parent, f"--to={deployment}")
  assert code == 0
  row = next(x for x in out.splitlines() if x.split()[:1] == ["30"])
  assert re.split(r"  +", row.strip()) == [
    *("30", "90% [60%, 98%]", "10", "eval.py", "signed pass", "current")
  ]

  code, out, _ = call("rollback", deployment, "--reason=drops cubes")
  assert code == 0
  assert out.startswith(f"rolled back to {name}: step 30")
  code, out, err = call("status", deployment)
  assert (code, err) == (0, "")
  assert out.startswith(f"valid: {deployment}/checkpoints/{name}\n")
  assert call("status", deployment, "--path")[1] == (
    f"{deployment}/checkpoints/{name}\n"
  )

  code, out, _ = call("log", deployment)
  rows = [x for x in out.splitlines() if re.match(r"[ *] \d{4}-\d\d-\d\d ", x)]
  actions = [row[2:].split()[2] for row in rows]
  assert actions == ["promote", "promote", "rollback"]
  assert [row[0] for row in rows] == [" ", " ", "*"]
  assert "3 lines, none changed" in out
  document = json.loads(call("log", deployment, "--json")[1])
  assert document["current"] == name
  assert [row["made"] for row in document["records"]] == [True] * 3
  assert document["records"][-1]["reason"] == "drops cubes"


def test_json_documents(call, runs, deployment):
  document = json.loads(_promote(call, runs[0], deployment, "--json")[1])
  status = json.loads(call("status", deployment, "--json")[1])
  assert status["path"] == document["path"]
  assert status["record"] == document["record"]
  found = json.loads(call("candidates", runs[0].parent, "--json")[1])
  (row,) = found["candidates"]
  assert row["state"] == "signed pass"
  assert row["success"]["episodes"] == 10


def test_refusals_are_one_line_with_the_exit_code_of_the_gate(
  call, runs, deployment, tmp_path
):
  code, out, err = _promote(call, runs[0], deployment, "--min_success=0.95")
  assert (code, out) == (1, "")
  assert re.fullmatch(r"refused: .*success rate 0\.9 is below 0\.95\n", err)
  code, _, err = _promote(call, runs[0], deployment, "--use_lower_bound")
  assert code == 1
  assert "lower bound of the success rate 0.59" in err
  unsigned = sample.copy(runs[0], tmp_path / "unsigned")
  (unsigned / directory.SIGNOFF).unlink()
  code, _, err = _promote(call, unsigned, deployment)
  assert code == 3
  assert re.fullmatch(r"refused: .*signoff_present: .*\n", err)
  assert not deployment.exists()


def test_status_of_a_damaged_checkpoint_is_that_of_the_gate(
  call, runs, deployment
):
  _promote(call, runs[0], deployment)
  place = deployment / "current" / directory.SIGNOFF
  place.unlink()
  code, out, err = call("status", deployment, "--path")
  assert (code, out) == (3, "")
  assert "signoff_present" in err
  (deployment / "current" / "config.json").unlink()
  assert call("status", deployment, "--path")[:2] == (1, "")


def test_what_a_crash_left_is_told_on_standard_error(call, runs, deployment):
  _promote(call, runs[0], deployment)
  with (deployment / "history.jsonl").open("ab") as file:
    file.write(b'{"action')
  code, out, err = call("status", deployment, "--path")
  assert (code, out.count("\n")) == (0, 1)
  assert err.startswith("note: the last line of the history was cut off")
  assert "cut off by a crash" in call("log", deployment)[1]
  out = _promote(call, runs[1], deployment)[1]
  assert "8 bytes: it now is in history.torn" in out


def test_a_log_of_nothing_is_no_mistake(call, deployment):
  deployment.mkdir()
  code, out, err = call("log", deployment)
  assert (code, err) == (0, "")
  assert out.endswith("\n\n0 lines, none changed\n")
  document = json.loads(call("log", deployment, "--json")[1])
  assert (document["current"], document["records"]) == (None, [])


LONG = "watched by three people on two days, who found nothing " * 2


def test_a_log_is_not_folded_on_its_way_into_another_program(
  call, runs, deployment, monkeypatch
):
  monkeypatch.setenv("COLUMNS", "40")
  _promote(call, runs[0], deployment, f"--reason={LONG}")
  out = call("log", deployment)[1].splitlines()
  assert re.fullmatch(
    r"\* \d{4}-\d\d-\d\d \d\d:\d\d  promote  30    [0-9a-f]{8}  pass    "
    r"90% \[60%, 98%\]",
    out[1],
  )
  assert out[2] == f"    tester: {LONG.strip()}"
  assert out[-2] == "1 line, none changed; the sha256 of the last one is"
  shown = call("candidates", runs[0].parent.parent)[1].splitlines()
  assert shown[1].split() == [
    *("step", "in", "simulation", "episodes", "of", "passport")
  ]
  assert shown[3].rstrip().endswith("10  eval.py  signed pass")


@pytest.mark.parametrize("width", [80, 50])
def test_a_log_folds_reasons_alone_to_the_width_of_the_terminal(
  call, runs, deployment, script, monkeypatch, width
):
  _promote(call, runs[0], deployment, f"--reason={LONG}")
  monkeypatch.setattr(script, "_width", lambda: width)
  out = call("log", deployment)[1].splitlines()
  words = [line for line in out if line.startswith("    ")]
  assert max(map(len, words)) <= width
  assert min(map(len, words[:-1])) > width - 15
  assert " ".join(" ".join(words).split()) == f"tester: {LONG.strip()}"
  assert max(map(len, out)) <= max(80, width)


def test_hostile_text_is_not_obeyed(call, runs, deployment):
  _promote(call, runs[0], deployment)
  place = deployment / "history.jsonl"
  told = json.loads(place.read_bytes())
  told |= {"by": "\x1b[2J[red]me", "reason": ":smile: \u202e"}
  place.write_text(json.dumps(told) + "\n")
  for command in ("log", "status"):
    out = call(command, deployment)[1]
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\\x1b[2J[red]me" in out


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ([], "unknown command ''"),
    (["promot", "x"], "did you mean 'promote'"),
    (["rolback", "x"], "did you mean 'rollback'"),
    (["status"], "status takes one path, got 0"),
    (["status", "a", "b"], "status takes one path, got 2"),
    (["promote", "x"], "say where to: --to=DEPLOYMENT_DIR"),
    (["promote", "x", "--to=d"], "say why: --reason="),
    (["rollback", "x"], "say why: --reason="),
    (["rollback", "x", "--reason=y"], "x is no deployment directory"),
    (["status", "x"], "x is no deployment directory"),
    (["log", "x"], "x is no deployment directory"),
    (["candidates", "x"], "no checkpoint at x"),
    (["promote", "x", "--to=d", "--reason=y"], "no checkpoint at x"),
    (["log", "x", "--public_key=k"], "--public_key is for candidates"),
    (["rollback", "x", "--no_copy"], "--no_copy is for promote"),
    (["status", "x", "--public_key="], "--public_key: there is no file"),
    (["status", "x", "--public_key=none"], "there is no file 'none'"),
    (["status", "x", "--target_repo=none"], "there is no directory 'none'"),
    (["status", "x", "--device_map=none"], "there is no file 'none'"),
    (["status", "x", "--min_signed_utc=now"], "'now' is no time"),
    (["log", "x", "--target_repo=."], "--target_repo is for promote"),
    (
      ["promote", "x", "--to=d", "--reason=y", "--min_success=nan"],
      "--min_success nan: give a rate from 0 to 1",
    ),
    (
      ["promote", "x", "--to=d", "--reason=y", "--min_return=-inf"],
      "--min_return -inf: give a finite number",
    ),
  ],
)
def test_mistakes_say_what_to_do(call, words, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(errors.UserError, match=re.escape(message)) as found:
    call(*words)
  assert not isinstance(found.value, gate.Refused)
  assert "\n" not in str(found.value)
  assert list(tmp_path.iterdir()) == []


ROBOT = """
import importlib.abc, runpy, sys

class Absent(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path, target=None):
    known = {"carnet", "absl", "numpy", "pydantic", "pydantic_core"}
    known |= {"annotated_types", "typing_extensions", "typing_inspection"}
    known |= sys.stdlib_module_names
    if name.split(".")[0] not in known and name[0] != "_":
      raise ModuleNotFoundError(f"no module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_robot_needs_pydantic_numpy_and_absl(runs, deployment):
  words = [sys.executable, "-c", ROBOT, PROGRAM.parents[1], PROGRAM]
  for command in (
    ["promote", runs[0], f"--to={deployment}", "--reason=x", "--by=y"],
    ["status", deployment],
    ["log", deployment],
    ["candidates", runs[0].parent.parent, "--json"],
  ):
    done = subprocess.run(
      [*words, *command], capture_output=True, text=True, cwd=deployment.parent
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_program_ends_with_2_and_loads_nothing_heavy(tmp_path):
  done = subprocess.run(
    [*(sys.executable, "-X", "importtime", PROGRAM), "status", tmp_path],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  last = done.stderr.strip().splitlines()[-1]
  assert last == f"error: nothing is promoted in {tmp_path} yet"
  found = re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE)
  assert "carnet.lifecycle.promotion" in found
  assert {name.split(".")[0] for name in found} & HEAVY == set()


def test_a_package_is_said_and_refused_in_one_line(call, runs, tmp_path):
  place = tmp_path / "policy.tar"
  code, out, err = call("package", runs[0], f"--to={place}")
  assert (code, err) == (0, "")
  lines = out.splitlines()
  assert lines[0].startswith("packed ")
  assert lines[1] == f"path: {place}"
  assert lines[2].startswith("there: tar -xf policy.tar; validate-checkpoint ")
  with pytest.raises(errors.UserError, match="is there already"):
    call("package", runs[0], f"--to={place}")
  key = tmp_path / "key.pub"
  key.write_bytes(oms.public_key(oms_sample.private()))
  other = f"--to={tmp_path / 'other.tar'}"
  code, out, err = call("package", runs[0], other, f"--public_key={key}")
  assert (code, out) == (3, "")
  assert err.startswith("refused: ")
  assert len(err.splitlines()) == 1
