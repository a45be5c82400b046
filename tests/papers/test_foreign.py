"""The README's program of somebody else's: its lines and its commands, as is.

Only what the text asks of its reader is added: an episode, `CARNET`, and
carnet's environment. The identity of git is that of any user.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import orbax.checkpoint as ocp
import pytest

from carnet.passport import context, outcome, schema, sign, validate
from carnet.passport.static import files

ROOT = pathlib.Path(__file__).parents[2]
INSTALLED = pathlib.Path(sys.executable).parent
IDENTITY = {
  f"GIT_{role}_{key}": "me"
  for role in ("AUTHOR", "COMMITTER")
  for key in ("NAME", "EMAIL")
}


def _section():
  text = (ROOT / "README.md").read_text()
  start = "### Give your own checkpoint a passport\n"
  return text.split(start)[1].split("\n## ")[0]


def _program():
  (code,) = re.findall(r"```python\n(.*?)```", _section(), re.DOTALL)
  return code


def _commands():
  """Returns what stands indented, outside of the program."""
  text = re.sub(r"```python\n.*?```", "", _section(), flags=re.DOTALL)
  return "".join(re.findall(r"^ {4}(.*\n)", text, re.MULTILINE))


def _environment():
  kept = {k: x for k, x in os.environ.items() if k != "PYTHONPATH"}
  path = f"{INSTALLED}{os.pathsep}{os.environ['PATH']}"
  return kept | IDENTITY | {"CARNET": str(ROOT), "PATH": path}


def _run(place, script, expect=0):
  done = subprocess.run(
    ["bash", "-eu", "-c", script],
    cwd=place,
    capture_output=True,
    text=True,
    env=_environment(),
  )
  assert done.returncode == expect, done.stdout + done.stderr
  return done.stdout


def _follow(place):
  """Does what the README says; returns what was printed."""
  (place / "mine.py").write_text(_program())
  rows = np.random.default_rng(0).normal(size=(12, 3)).cumsum(axis=0) / 8
  np.save(place / "episode.npy", rows.astype(np.float32))
  return _run(place, _commands())


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
  """Returns the directory of somebody who followed, and what was printed."""
  place = tmp_path_factory.mktemp("foreign")
  return place, _follow(place)


@pytest.fixture
def checkpoint(followed, tmp_path):
  """Returns a copy of the checkpoint, to be spoiled."""
  return shutil.copytree(followed[0] / "ckpt", tmp_path / "ckpt")


def _rerun(step):
  options = context.Options(rerun=True)
  return validate.validate(step, options).named(outcome.Status.FAIL)


def test_the_program_is_some_twenty_lines():
  lines = [line for line in _program().splitlines() if line.strip()]
  assert len(lines) <= 23


def test_all_claims_hold_again_and_nothing_waits_for_a_reason(followed):
  _, said = followed
  assert " 0 soft, 0 fail" in said
  for check in (
    *("golden_replay", "smoke_recomputed", "norm_round_trip_recomputed"),
    *("state_dict_recomputed", "weights_finite_recomputed"),
  ):
    assert re.search(rf"PASS .*/{check} ", said), check
  assert re.search(r"PASS .*/tree_digest_recomputed +2 arrays read", said)
  assert "SIGNOFF.json: pass" in said


def test_it_ends_signed(followed):
  said = _run(followed[0], "validate-checkpoint ckpt --require-signoff")
  assert "0 fail" in said


def test_the_reason_of_the_text_is_taken(followed, tmp_path):
  place = shutil.copytree(followed[0], tmp_path / "changed")
  with (place / "mine.py").open("a") as file:
    file.write("# later\n")
  lines = _commands().replace("\\\n", " ").splitlines()
  (dump,) = [line for line in lines if "dump_config" in line]
  (generate,) = [line for line in lines if line.startswith("generate")]
  _run(place, f"{dump} --overwrite\n{generate}")
  _run(place, "sign-checkpoint ckpt", expect=2)
  (reason,) = re.findall(r"`(sign-checkpoint[^`]*--reason[^`]*)`", _section())
  _run(place, reason.replace("\n", " "))
  content = (place / "ckpt/SIGNOFF.json").read_bytes()
  found = schema.decode_signoff(content, "SIGNOFF.json")
  assert found.accepted_soft_checks == ("training_tree_clean",)


def test_what_is_found_is_recorded(followed):
  found = schema.read(followed[0] / "ckpt/MODEL_PASSPORT.json")
  assert found.family == "other"
  assert found.weight_integrity.checkpoint_format.item == "params"
  assert found.model_internals.parameters.total_params == 3 * 2 + 2
  assert found.model_internals.buffers == ()
  assert set(found.model_internals.tree_digest.leaves) == {
    "params/kernel/value",
    "params/bias/value",
  }
  assert found.reference_test_vector.source_dataset == "episode 7"
  assert found.provenance.training_tree_dirty is False


def test_another_weight_is_refused(checkpoint):
  place = max(
    (x for x in (checkpoint / "params").rglob("*") if x.is_file()),
    key=lambda x: x.stat().st_size,
  )
  content = place.read_bytes()
  place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
  said = _run(checkpoint, "validate-checkpoint . --require-signoff", expect=1)
  assert "weight_hashes" in said


def test_another_weight_with_papers_made_again_is_found_by_a_rerun(checkpoint):
  """The thief lists and signs the files anew; the digest of leaves remains."""
  assert _rerun(checkpoint) == ()
  params = {
    "kernel": {"value": np.ones((3, 2), np.float32)},
    "bias": {"value": np.zeros(2, np.float32)},
  }
  shutil.rmtree(checkpoint / "params")
  with ocp.StandardCheckpointer() as saver:
    saver.save(checkpoint / "params", params)
  made = schema.read(checkpoint / "MODEL_PASSPORT.json")
  roles = {row.path: row.role for row in made.weight_integrity.weight_files}
  listed = files.files(context.Context(checkpoint), roles, ".*")
  integrity = made.weight_integrity.model_copy(update={"weight_files": listed})
  made = made.model_copy(update={"weight_integrity": integrity})
  (checkpoint / "MODEL_PASSPORT.json").write_bytes(schema.encode(made))
  sign.sign(checkpoint, sign.Request(reason="believe me"))
  gate = context.Options(require_signoff=True)
  assert validate.validate(checkpoint, gate).named(outcome.Status.FAIL) == ()
  assert "tree_digest_recomputed" in _rerun(checkpoint)
