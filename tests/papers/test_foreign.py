"""The README's program of somebody else's: its twenty lines, its commands."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
INSTALLED = pathlib.Path(sys.executable).parent
SAVE = """
import mine, pathlib, orbax.checkpoint as ocp
saver = ocp.StandardCheckpointer()
saver.save(pathlib.Path("ckpt/params").absolute(), mine.split()[1])
saver.wait_until_finished()
"""


def _section():
  text = (ROOT / "README.md").read_text()
  return text.split("### Give your own checkpoint a passport")[1].split(
    "\n## "
  )[0]


def _run(place, *words, expect=0):
  done = subprocess.run(
    words, cwd=place, capture_output=True, text=True, env=_environment(place)
  )
  assert done.returncode == expect, done.stdout + done.stderr
  return done.stdout


def _environment(place):
  return os.environ | {"PYTHONPATH": f"{place}:{ROOT}"}


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
  """Returns a directory with the program and its checkpoint, signed."""
  place = tmp_path_factory.mktemp("foreign")
  (code,) = re.findall(r"```python\n(.*?)```", _section(), re.DOTALL)
  (place / "mine.py").write_text(code)
  rows = np.random.default_rng(0).normal(size=(12, 3)).cumsum(axis=0) / 8
  np.save(place / "episode.npy", rows.astype(np.float32))
  (place / ".gitignore").write_text("ckpt\n__pycache__\n")
  for words in (
    ("init", "-q"),
    ("add", "-A"),
    ("-c", "user.email=a@b", "-c", "user.name=a", "commit", "-qm", "x"),
  ):
    _run(place, "git", *words)
  _run(place, sys.executable, "-c", SAVE)
  for command in _commands():
    _run(place, *command)
  return place


def _commands():
  """Yields the README's four commands."""
  code = "".join(
    line[4:]
    for line in _section().splitlines(keepends=True)
    if line.startswith("    ")
  )
  for line in code.replace("\\\n", " ").splitlines():
    words = line.replace("CHECKPOINT", "ckpt").split()
    if words[0] == "python":
      yield [sys.executable, str(ROOT / words[1]), *words[2:]]
    else:
      # soft findings of a test's environment, such as its PYTHONPATH
      reason = ["--reason=a test"] * (words[0] == "sign-checkpoint")
      yield [str(INSTALLED / words[0]), *words[1:], *reason]


def test_it_is_twenty_lines():
  (code,) = re.findall(r"```python\n(.*?)```", _section(), re.DOTALL)
  assert sum(1 for line in code.splitlines() if line.strip()) <= 20


def test_it_ends_signed(signed):
  said = _run(
    signed, str(INSTALLED / "validate-checkpoint"), "ckpt", "--require-signoff"
  )
  assert "0 fail" in said


def test_what_is_found_is_recorded(signed):
  from carnet.passport import schema

  found = schema.read(signed / "ckpt/MODEL_PASSPORT.json")
  assert found.family == "other"
  assert found.model_internals.parameters.total_params == 3 * 2 + 2
  assert found.model_internals.buffers == ()
  assert set(found.model_internals.tree_digest.leaves) == {
    "params/kernel/value",
    "params/bias/value",
  }
  assert found.reference_test_vector.source_dataset == "episode 7"
  assert found.provenance.training_tree_dirty is False
  actions = np.load(
    signed / "ckpt" / "assets/reference_test_vector/expected_actions.npy"
  )
  assert actions.shape == (10, 2)


def test_another_weight_is_refused(signed):
  place = max(
    (x for x in (signed / "ckpt/params").rglob("*") if x.is_file()),
    key=lambda x: x.stat().st_size,
  )
  content = place.read_bytes()
  try:
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    said = _run(
      signed,
      str(INSTALLED / "validate-checkpoint"),
      "ckpt",
      "--require-signoff",
      expect=1,
    )
  finally:
    place.write_bytes(content)
  assert "weight_hashes" in said
