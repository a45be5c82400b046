"""The doors of scripts/convert.py; what is behind them has tests of its own."""

import os
import pathlib

import pytest
from absl import flags

from carnet import errors

DEFAULT = pathlib.Path(__file__).parents[1] / "fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))
LEGACY = FIXTURES.with_name(FIXTURES.name + "_legacy")


@pytest.fixture(scope="module")
def script(load_script):
  return load_script("convert")


@pytest.fixture
def run(script):
  def call(*words):
    flags.FLAGS.unparse_flags()
    script.main(flags.FLAGS(["convert.py", *map(str, words)]))

  yield call
  flags.FLAGS.unparse_flags()
  for name in ("workdir", "out", "dataset", "passport", "quality", "cameras"):
    flags.FLAGS[name].unparse()


@pytest.fixture
def issued(script, monkeypatch):
  calls = []

  def issue(step, modules=(), told=None, dataset=""):
    calls.append((step, told, dataset))

  monkeypatch.setattr(script.papers, "issue", issue)
  return calls


def test_an_import_ends_with_its_papers(run, issued, tmp_path, capsys):
  run("import-lerobot", LEGACY, f"--workdir={tmp_path / 'w'}")
  (call,) = issued
  step, told, dataset = call
  assert step == tmp_path / "w/checkpoints/000000000"
  assert (step / "manifest.json").is_file()
  # what LeRobot does not record is said to be missing, not invented
  assert told.allow_missing == ("training_datasets", "run_log")
  assert "does not record" in told.reason
  assert dataset == ""
  assert "--dataset-path" in capsys.readouterr().out


def test_recordings_for_the_papers_are_passed_on(run, issued, tmp_path, capsys):
  words = (f"--workdir={tmp_path / 'w'}", "--dataset=lerobot:data/so101")
  run("import-lerobot", LEGACY, *words)
  assert issued[0][2] == "lerobot:data/so101"
  assert "--dataset-path" not in capsys.readouterr().out


def test_papers_that_fail_leave_the_checkpoint(
  run, script, monkeypatch, tmp_path
):
  def issue(*_, **__):
    raise errors.UserError("no such recordings")

  monkeypatch.setattr(script.papers, "issue", issue)
  with pytest.raises(errors.UserError, match=r"imported and saved, but has no"):
    run("import-lerobot", LEGACY, f"--workdir={tmp_path / 'w'}")
  assert (tmp_path / "w/checkpoints/000000000/manifest.json").is_file()


def test_papers_can_be_left_out(run, issued, tmp_path):
  run("import-lerobot", LEGACY, f"--workdir={tmp_path / 'w'}", "--nopassport")
  assert issued == []


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (("import-lerobt", "x"), "did you mean 'import-lerobot'"),
    ((), "unknown command"),
    (("cache",), "takes one path, got 0"),
    (("cache", "a", "b"), "takes one path, got 2"),
    (
      ("cache", "a", "--workdir=b"),
      "--workdir is for import-lerobot: cache ignores it",
    ),
    (("export-lerobot", "a", "--quality=3"), "--quality is for cache"),
    (("import-lerobot", "a"), "--workdir is missing"),
    (("export-dataset", "a"), "--out is missing"),
  ],
)
def test_mistakes(run, words, message):
  with pytest.raises(errors.UserError, match=message):
    run(*words)
