"""Every command on real checkpoints: what it prints, and its exit code."""

import json
import re
import shutil

import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import directory, manifest


@pytest.fixture(scope="module")
def script(load_script):
  """Returns the script as a module."""
  return load_script("checkpoint")


@pytest.fixture
def call(script, call_script):
  """Returns a function: words and flags -> exit code and standard output."""
  return lambda *words: call_script(script, words)[:2]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
  """Four steps of a run; of all leaves the bias alone changes."""
  workdir = tmp_path_factory.mktemp("original")
  with checkpoint_lib.Checkpoint(workdir / "checkpoints", verbose=False) as c:
    agent = c.register("agent", {"w": np.ones((4, 2)), "b": np.zeros(3)})
    c.register("data", {"next_index": 0})
    c.attach("config.json", {"seed": 1})
    c.attach("assets/[red]:smile:.png", b"123")
    for step in (10, 20, 30, 40):
      agent.value = agent.value | {"b": np.full(3, step / 8)}
      c.save(step, {"score": -abs(step - 20), "[bold]loss": 1 / step})
  return workdir


@pytest.fixture
def workdir(original, tmp_path):
  return shutil.copytree(original, tmp_path / "run")


def _step(workdir, step):
  return workdir / "checkpoints" / directory.step_name(step)


def _reseal(place, **changes):
  """Rewrites a manifest as somebody might who knows the format."""
  path = place / manifest.NAME
  body = json.loads(path.read_bytes())
  del body["sha256"]
  path.write_bytes(manifest.seal(body | changes))


def test_ls(workdir, call):
  _step(workdir, 20).joinpath(manifest.NAME).unlink()
  _step(workdir, 30).joinpath(directory.SIGNOFF).write_bytes(b"{}")
  code, text = call("ls", workdir)
  assert code == 0
  lines = text.splitlines()
  rows = [line.split() for line in lines if line.strip()[:2].isdecimal()]
  assert [row[:2] for row in rows] == [
    ["10", "sound"],
    ["20", "DAMAGED"],
    ["30", "sound,"],
    ["40", "sound"],
  ]
  assert rows[0][-2:] == ["-10", "0.1"]
  assert "score" in text
  assert "[bold]loss" in text
  assert "manifest.json is unreadable" in text
  code, text = call("ls", workdir, "--json")
  steps = json.loads(text)["steps"]
  assert [step["step"] for step in steps] == [10, 20, 30, 40]
  assert [bool(step["fault"]) for step in steps] == [False, True, False, False]
  assert [step["signed"] for step in steps] == [False, False, True, False]


def test_show(workdir, call):
  code, text = call("show", workdir)
  assert code == 0
  rows = [line.split() for line in text.splitlines()]
  assert ["step", "40"] in rows
  assert ["w", "[4,", "2]", "float64", "64", "bytes"] in rows
  assert ["b", "[3]", "float64", "24", "bytes"] in rows
  assert ["assets/[red]:smile:.png", "3", "bytes"] in rows
  assert ["score", "-20"] in rows
  assert ["jax", manifest.library_versions()["jax"]] in rows
  code, text = call("show", _step(workdir, 10), "--json")
  facts = json.loads(text)
  assert facts["step"] == 10
  assert facts["metrics"] == {"score": -10.0, "[bold]loss": 0.1}
  assert [leaf["path"] for leaf in facts["leaves"]] == ["agent/b", "agent/w"]


def test_show_folds_what_is_long_unless_all(tmp_path, call):
  with checkpoint_lib.Checkpoint(tmp_path, verbose=False) as saved:
    leaves = {f"leaf_{i}": np.zeros(2) for i in range(200)}
    saved.register("agent", {"group": leaves, "step": 3})
    saved.save(1)
  code, text = call("show", tmp_path)
  assert code == 0
  assert text.count("leaf_") == 3
  assert "... and 197 more  197 leaves" in text
  assert "--all" in text
  code, text = call("show", tmp_path, "--all")
  assert text.count("leaf_") == 200


def test_verify(workdir, call):
  code, text = call("verify", workdir)
  assert (code, text.count("sound")) == (0, 4)
  assert "damaged: 0 of 4" in text
  config = _step(workdir, 20) / "config.json"
  config.write_bytes(config.read_bytes().replace(b"1", b"2"))
  code, text = call("verify", workdir)
  assert code == 1
  assert "config.json differs from its sha256" in text
  code, text = call("verify", "--json", workdir)
  faults = json.loads(text)["steps"]
  assert code == 1
  assert [len(found) for found in faults.values()] == [0, 1, 0, 0]
  assert call("verify", _step(workdir, 10))[0] == 0
  shutil.rmtree(_step(workdir, 10))
  _step(workdir, 10).mkdir()
  code, text = call("verify", _step(workdir, 10))
  assert code == 1
  assert "manifest.json is unreadable" in text


def test_diff(workdir, call):
  code, text = call("diff", workdir, _step(workdir, 40))
  assert code == 0
  assert "A and B are equal" in text
  code, text = call("diff", _step(workdir, 10), _step(workdir, 30), "--values")
  assert code == 1
  row = next(line for line in text.splitlines() if "agent/b" in line)
  assert row.split() == [
    "differs",
    "agent/b",
    "float64[3]",
    "24",
    "bytes",
    "2.5",
  ]
  assert "agent/w" not in text
  row = next(line for line in text.splitlines() if "[bold]loss" in line)
  assert row.split() == ["[bold]loss", "0.1", repr(1 / 30)]
  code, text = call("diff", _step(workdir, 10), _step(workdir, 30), "--json")
  facts = json.loads(text)
  assert code == 1
  assert facts["equal"] is False
  assert {row["path"]: row["status"] for row in facts["leaves"]} == {
    "agent/b": "content differs",
    "agent/w": "equal",
  }
  assert facts["metrics"] == [{"path": "[bold]loss", "a": 0.1, "b": 1 / 30}]


def test_prune(workdir, call):
  damaged = _step(workdir, 10) / "config.json"
  damaged.unlink()
  _step(workdir, 20).joinpath(directory.SIGNOFF).write_bytes(b"{}")
  before = sorted(directory.files(workdir))
  code, text = call("prune", workdir, "--latest=1", "--dry_run", "--json")
  planned = json.loads(text)
  assert code == 0
  assert planned["deleted"] == [30]
  assert planned["kept"] == [20, 40]
  assert planned["unsound"] == [10]
  assert sorted(directory.files(workdir)) == before
  code, text = call("prune", workdir, "--latest=1")
  assert code == 0
  assert "deleted steps" in text
  found = directory.numbered(workdir / "checkpoints")
  assert [int(path.name) for path in found] == [10, 20, 40]


@pytest.mark.parametrize(
  ("rules", "deleted"),
  [
    (["--latest=2"], [10, 20]),
    (["--best=1", "--metric=score"], [10, 30]),
    (
      ["--best=1", "--metric=score", "--lower_is_better"],
      [10, 20, 30],
    ),
    (["--every_steps=20"], [10, 30]),
    (["--latest=9"], []),
  ],
)
def test_the_rules_of_prune(workdir, call, rules, deleted):
  text = call("prune", workdir, *rules, "--dry_run", "--json")[1]
  assert json.loads(text)["deleted"] == deleted


def test_prune_is_refused_while_training_writes(workdir, call):
  lock = directory.Lock(workdir / "checkpoints")
  lock.acquire()
  with pytest.raises(errors.UserError, match="is being written by"):
    call("prune", workdir, "--latest=1")
  assert call("prune", workdir, "--latest=1", "--dry_run")[0] == 0
  lock.release()
  assert len(directory.numbered(workdir / "checkpoints")) == 4


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ([], "unknown command ''"),
    (["lss", "RUN"], "did you mean 'ls'"),
    (["ls"], "ls takes one path, got 0"),
    (["diff", "RUN"], "diff takes two paths, got 1"),
    (["ls", "RUN", "--values"], "--values is for diff"),
    (["show", "RUN", "--latest=2"], "--latest is for prune"),
    (["ls", "RUN/absent"], "no checkpoint at"),
    (["show", "RUN/foreign"], "no checkpoint at"),
    (["show", "RUN/checkpoints/000000010"], "was altered or cut off"),
    (["diff", "RUN", "RUN/checkpoints/000000010"], "was altered or cut off"),
    (["prune", "RUN"], "say what to keep"),
    (["prune", "RUN", "--best=1"], "needs a metric"),
    (["prune", "RUN", "--best=1", "--metric=scor"], "did you mean 'score'"),
    (["prune", "RUN", "--latest=1", "--metric=score"], "--metric needs --best"),
    (["prune", "RUN/checkpoints/000000020", "--latest=1"], "is one step"),
  ],
)
def test_mistakes(workdir, call, words, message):
  (_step(workdir, 10) / manifest.NAME).write_bytes(b"{}\n")
  (workdir / "foreign").write_bytes(b"\x00\xff" * 50)
  before = sorted(directory.files(workdir))
  words = [word.replace("RUN", str(workdir)) for word in words]
  with pytest.raises(errors.UserError, match=re.escape(message)):
    call(*words)
  assert sorted(directory.files(workdir)) == before


EVIL = "\x1b[2J\x1b]0;x\x07[red]\u202e\x9b"


def test_no_text_of_a_file_reaches_the_terminal(workdir, call):
  facts = {
    "libraries": {EVIL: EVIL},
    "metrics": {EVIL: 1.0},
    "lineage": [{"path": EVIL, EVIL: [EVIL]}],
    "created_utc": EVIL,
  }
  _reseal(_step(workdir, 30), **facts)
  _reseal(_step(workdir, 40), **facts | {"metrics": {EVIL: 2.0}})
  _reseal(_step(workdir, 10), components={EVIL: "json"})
  (workdir / "checkpoints" / f"{EVIL}\nstep 50: sound").touch()
  for words in (
    ["ls", workdir],
    ["show", workdir, "--all"],
    ["verify", workdir],
    ["diff", _step(workdir, 30), workdir, "--all"],
    ["prune", workdir, "--latest=1", "--dry_run"],
  ):
    text = call(*words)[1]
    assert all(c.isprintable() for c in text.replace("\n", "")), words
    assert "\nstep 50: sound" not in text
    if words[0] in ("ls", "show", "diff"):
      assert "\\x1b[2J" in text.replace("\n", "")
