"""scripts/checkpoint.py as a process: exit codes, no JAX, hostile manifests."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import directory, manifest

PATH = pathlib.Path(__file__).parents[2] / "scripts" / "checkpoint.py"


@pytest.fixture
def workdir(tmp_path):
  """Two steps that differ in one leaf."""
  with checkpoint_lib.Checkpoint(tmp_path / "checkpoints", verbose=False) as c:
    agent = c.register("agent", {"w": np.ones((4, 2))})
    c.register("data", {"next_index": 0})
    for step in (10, 20):
      agent.value = {"w": np.full((4, 2), step)}
      c.save(step)
  return tmp_path


def _step(workdir, step):
  return workdir / "checkpoints" / directory.step_name(step)


def _reseal(place, **changes):
  path = place / manifest.NAME
  body = json.loads(path.read_bytes())
  del body["sha256"]
  path.write_bytes(manifest.seal(body | changes))


MALFORMED = {
  "step": "one",
  "metrics": [1],
  "libraries": {"jax": 1},
  "components": [],
  "created_utc": None,
  "lineage": ["parent"],
  "processes": {"agent": "two"},
  "leaves": [
    {
      "path": "agent/w",
      "shape": ["2"],
      "dtype": "float32",
      "size_bytes": 8,
      "sha256": "0" * 64,
    }
  ],
  "files": [{"path": "data/state.json", "size_bytes": -1, "sha256": "0"}],
}
PROGRAM = """
import runpy, sys
try:
  runpy.run_path(sys.argv[0], run_name="__main__")
finally:
  print({"jax", "flax", "orbax", "tensorstore"} & set(sys.modules))
"""


def _run(*words, program=None):
  command = [sys.executable, PATH, *words]
  if program is not None:
    program = program.replace("sys.argv[0]", repr(str(PATH)))
    command[1:2] = ["-c", program]
  return subprocess.run(command, capture_output=True, text=True)


def test_a_sealed_manifest_of_wrong_types_is_damage(workdir):
  """In a process of its own: the tests' type checks would step in."""
  for number, (key, value) in enumerate(MALFORMED.items()):
    place = _step(workdir, 100 + number)
    shutil.copytree(_step(workdir, 10), place)
    _reseal(place, **{"step": 100 + number, key: value})
  done = _run("ls", workdir, "--json")
  assert done.returncode == 0, done.stderr
  steps = json.loads(done.stdout)["steps"][2:]
  assert len(steps) == len(MALFORMED)
  for key, step in zip(MALFORMED, steps, strict=True):
    assert "malformed" in step["fault"], (key, step["fault"])


@pytest.mark.parametrize(
  "words",
  [
    ["ls", "RUN"],
    ["show", "RUN"],
    ["diff", "RUN", "RUN"],
    ["prune", "RUN", "--latest=1"],
  ],
  ids=lambda words: words[0],
)
def test_manifests_are_read_without_jax(workdir, words):
  words = [word.replace("RUN", str(workdir)) for word in words]
  done = _run(*words, program=PROGRAM)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1] == "set()"


def test_the_exit_codes_and_lines_of_the_real_program(workdir):
  done = _run("diff", _step(workdir, 10), "--json", _step(workdir, 20))
  assert (done.returncode, done.stderr) == (1, "")
  assert json.loads(done.stdout)["equal"] is False
  done = _run("ls", workdir / "absent")
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr.count("\n") == 1
  text = _run("--help").stdout
  for command in ("ls", "show", "verify", "diff", "prune"):
    assert f"scripts/checkpoint.py {command} runs/a" in text
