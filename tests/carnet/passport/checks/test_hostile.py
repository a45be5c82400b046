"""Hostile checkpoints in a watched process: found, and nothing executed.

The numbers are those of the threats in the reference of requirements.
"""

import json
import os
import pathlib
import pickle
import subprocess
import sys

import checking
import numpy as np
import pytest
import sample

from carnet.checkpoint import directory

WORKER = pathlib.Path(__file__).parents[1] / "hostile_worker.py"


def _metadata(step, change):
  path = step / "agent/_METADATA"
  body = json.loads(path.read_bytes())
  change(body)
  path.write_text(json.dumps(body))
  checking.reseal(step)


def _key(text):
  def forge(step):
    def change(body):
      row = body["tree_metadata"]["('params/head/bias',)"]
      row["key_metadata"][0]["key"] = text
      body["use_ocdbt"] = False

    _metadata(step, change)

  return forge


def _flip(step):
  path = min((step / "agent/d").iterdir())
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)


def _remove(step):
  (step / "agent/commit_success.txt").unlink()


def _link(step):
  path = min((step / "agent/d").iterdir())
  secret = step.parents[1] / "secret"
  path.rename(secret)
  path.symlink_to(secret)


def _bomb(shape):
  def forge(step):
    def change(body):
      row = next(x for x in body["leaves"] if x["path"].endswith("bias"))
      row |= {"shape": [shape], "size_bytes": 4 * shape}

    checking.reseal(step, change)

  return forge


def _twice(step):
  path = step / directory.PASSPORT
  path.write_text(path.read_text().replace("{", '{"family": "act",', 1))


def _deep(step):
  (step / directory.PASSPORT).write_text("[" * 100_000)


def _type(step):
  def change(body):
    for row in body["tree_metadata"].values():
      row["value_metadata"]["value_type"] = "os.system"
      row["key_metadata"][0]["key_type"] = 7

  _metadata(step, change)


def _collide(step):
  def change(body):
    row = body["tree_metadata"]["('params/head/bias',)"]
    other = {**row, "key_metadata": [{"key": "params/x", "key_type": 2}]}
    body["tree_metadata"] |= {"1": other, "2": other}

  _metadata(step, change)


class _Evil:
  def __reduce__(self):
    return (os.system, ("touch executed",))


def _object_array(step):
  path = step / sample.STATES_PATH
  np.save(path, np.array([_Evil()], object), allow_pickle=True)
  checking.reseal(step)


def _pickled_config(step):
  (step / "config.json").write_bytes(pickle.dumps(_Evil()))
  checking.reseal(step)


def _huge_array(step):
  header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 44,), }"
  header = header.replace(b"1 << 44", str(1 << 44).encode()).ljust(118) + b"\n"
  path = step / sample.STATES_PATH
  magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
  path.write_bytes(magic + header)
  checking.reseal(step)


def _outside(step):
  text = (step / directory.PASSPORT).read_text()
  (step / directory.PASSPORT).write_text(
    text.replace('"stats.json"', '"../../../etc/passwd"')
  )


def _pipe(step):
  os.mkfifo(step / "agent/pipe")


def _escape(step):
  (step / "\x1b]0;owned\x07").touch()


def _gadget(step):
  changes = {
    "model_identity/class_module": "antigravity",
    "model_identity/class_name": "os.system",
  }
  sample.write(step, **changes)
  sample.sign(step)


HOSTILE = {
  "T1 flipped bit": (_flip, "weight_hashes"),
  "T5 removed file": (_remove, "weight_sizes"),
  "T6 absolute key": (_key("/etc/passwd"), "orbax_metadata_safe"),
  "T7 key that leads out": (_key("../../x"), "orbax_metadata_safe"),
  "T8 link": (_link, "no_symlinks"),
  "T9 decompression bomb": (_bomb(1 << 28), "orbax_metadata_safe"),
  "T10 terabytes": (_bomb(1 << 40), "orbax_metadata_safe"),
  "T14 key twice": (_twice, "json_limits"),
  "T15 deep JSON": (_deep, "json_limits"),
  "T16 unknown types": (_type, "orbax_metadata_safe"),
  "T17 collision": (_collide, "key_collision"),
  "T19 object array": (_object_array, "no_pickle_files"),
  "T19 pickle as JSON": (_pickled_config, "no_pickle_files"),
  "T20 64 TiB": (_huge_array, None),
  "T22 path that leads out": (_outside, "schema_valid"),
  "T22 pipe": (_pipe, "paths_safe"),
  "T27 gadget": (_gadget, None),
  "T28 escape sequence": (_escape, "unlisted_files"),
}


@pytest.fixture(scope="module")
def observed(original, tmp_path_factory):
  """Returns name -> what a watched process said of each hostile checkpoint."""
  steps = []
  for name, (forge, _) in HOSTILE.items():
    place = tmp_path_factory.mktemp(name.split()[0])
    steps.append(sample.copy(original, place))
    forge(steps[-1])
  done = subprocess.run(
    [sys.executable, str(WORKER), *map(str, steps)],
    capture_output=True,
    text=True,
    cwd=tmp_path_factory.mktemp("elsewhere"),
  )
  assert done.returncode == 0, done.stderr
  rows = [json.loads(line) for line in done.stdout.splitlines()]
  assert rows.pop() == {"imported": []}
  return dict(zip(HOSTILE, rows, strict=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_checkpoints_are_refused_and_execute_nothing(observed, name):
  row, expected = observed[name], HOSTILE[name][1]
  assert row["tried"] == []
  if expected:
    assert expected in row["red"]
  for line in row["lines"]:
    assert line.isprintable()
    assert len(line) < 2000
