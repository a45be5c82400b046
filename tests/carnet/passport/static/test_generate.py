"""Whatever happens to generate-passport, papers are whole: old ones or new."""

import contextlib
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys

import checking
import pytest

from carnet.checkpoint import directory
from carnet.passport import (
  context,
  generate,
  generate_command,
  issuing,
  plain_tree,
  schema,
  writing,
)
from carnet.passport.static import draft, given

TOLD = [
  *("--dataset-repo=cubes@1f38", "--loader-class=mine.Loader"),
  *("--allow-missing=training_commit", "--allow-missing=model_class"),
  *("--allow-missing=run_log", "--reason", "of another lab"),
]


def run(step, *words):
  try:
    return generate_command.main([str(step), *words])
  except SystemExit as stop:
    return stop.code


def tree(path):
  return {
    str(file.relative_to(path)): file.read_bytes()
    for file in sorted(path.rglob("*"))
    if file.is_file()
  }


def test_without_the_second_phase_files_are_listed_as_they_are_then(step):
  assert (step / "assets/reference_frames").is_dir()
  assert run(step, "--static-only", *TOLD) == 0
  found = schema.read(step / directory.PASSPORT)
  listed = {row.path for row in found.weight_integrity.weight_files}
  assert listed == set(tree(step)) - {directory.PASSPORT}
  red = set(checking.red(step))
  assert not red & {"weight_sizes", "weight_hashes", "weight_files_complete"}
  assert not red & {"unlisted_files", "schema_valid"}


def test_a_full_disk_leaves_everything_as_it_was(step, capsys):
  before = tree(step)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
  try:
    assert run(step, "--static-only", *TOLD) == 2
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  err = capsys.readouterr().err
  assert err.count("\n") == 1
  assert err.endswith("MODEL_PASSPORT.json: File too large\n")
  assert tree(step) == before


@pytest.mark.parametrize(
  ("number", "code"),
  [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)],
)
def test_a_signal_within_the_exchange_leaves_everything_as_it_was(
  step, capsys, monkeypatch, number, code
):
  before = tree(step)
  handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)

  def stop(path, content):
    assert not (step / directory.PASSPORT).exists()
    os.kill(os.getpid(), number)

  monkeypatch.setattr(writing, "write", stop)
  assert run(step, "--static-only", *TOLD) == code
  assert capsys.readouterr().err == "interrupted\n"
  assert tree(step) == before
  now = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
  assert now == handlers


def test_nothing_is_hashed_while_papers_are_exchanged(step, monkeypatch):
  within, hashed = [False], []
  exchanged, sha256 = issuing.exchanged, plain_tree.sha256

  @contextlib.contextmanager
  def watched(*words):
    within[0] = True
    with exchanged(*words):
      yield
    within[0] = False

  def noted(root, name):
    hashed.append(within[0])
    return sha256(root, name)

  monkeypatch.setattr(issuing, "exchanged", watched)
  monkeypatch.setattr(plain_tree, "sha256", noted)
  assert run(step, "--static-only", *TOLD) == 0
  assert len(hashed) > 10
  assert not any(hashed)


def test_fresh_assets_are_listed_as_they_will_lie(step, tmp_path):
  name = "assets/reference_frames/new"
  output = tmp_path / "output"
  (output / name).parent.mkdir(parents=True)
  (output / name).write_text("new")
  (output / "draft.json").write_text("{}")
  described = draft.describe(step)
  listed = generate._listed(step, output, given.Given(), described)
  with issuing.exchanged(step, output):
    digests = context.Context(step).digests
  rows = {row.path: row for row in listed}
  assert list(rows) == sorted(x for x in digests if not issuing.is_leftover(x))
  assert all(row.sha256 == digests[row.path] for row in listed)
  assert rows[name].role == "reference"


def test_flags_that_are_refused_destroy_nothing_that_a_kill_took_away(
  step, capsys
):
  before = tree(step)
  left = step / ".assets.7.writing/old"
  left.mkdir(parents=True)
  for name in (directory.PASSPORT, directory.SIGNOFF):
    (step / name).rename(left / name)
  assert run(step, "--static-only") == 2
  assert "nobody recorded at launch" in capsys.readouterr().err
  assert tree(step) == before


@pytest.mark.parametrize("ids", [["missing-run_log"], ["I1", "I1"]])
def test_two_known_issues_of_one_id_are_refused_first(
  step, tmp_path, capsys, ids
):
  words = []
  for index, name in enumerate(ids):
    place = tmp_path / f"issue_{index}.json"
    body = {"id": name, "title": "slips", "severity": "low", "affected": "all"}
    body |= {"workaround": "", "check_type": "human", "check_id": None}
    place.write_text(json.dumps(body))
    words.append(f"--known-issue={place}")
  before = tree(step)
  assert run(step, *words, *TOLD) == 2
  err = capsys.readouterr().err
  assert err.count("\n") == 1
  assert f"two known issues have the id '{ids[0]}'" in err
  assert tree(step) == before


def test_a_directory_in_the_place_of_a_signoff_is_found_first(step, capsys):
  (step / directory.SIGNOFF).unlink()
  (step / directory.SIGNOFF).mkdir()
  before = tree(step)
  assert run(step, "--static-only", *TOLD) == 2
  assert "SIGNOFF.json is a directory" in capsys.readouterr().err
  assert tree(step) == before


@pytest.mark.parametrize(
  ("name", "make", "message"),
  [
    ("pipe", os.mkfifo, "pipe is a device, a pipe, or cannot be read"),
    ("link", lambda x: x.symlink_to("config.json"), "link is a link"),
    ("a\\b", lambda x: x.touch(), "a\\b cannot be listed: rename it"),
    ("a\nb", lambda x: x.touch(), "a\\nb cannot be listed: rename it"),
  ],
)
def test_what_cannot_be_listed_is_named(step, capsys, name, make, message):
  make(step / name)
  assert run(step, "--static-only", *TOLD) == 2
  assert message in capsys.readouterr().err


def test_leftovers_of_a_killed_process_are_not_listed(step):
  (step / ".SIGNOFF.json.1.writing").write_text("{")
  assert run(step, "--static-only", *TOLD) == 0
  rows = schema.read(step / directory.PASSPORT).weight_integrity.weight_files
  assert not [row.path for row in rows if "writing" in row.path]
  assert not (step / ".SIGNOFF.json.1.writing").exists()


def test_one_generates_at_a_time(step, capsys):
  before = tree(step)
  descriptor = os.open(step, os.O_RDONLY)
  fcntl.flock(descriptor, fcntl.LOCK_EX)
  assert run(step, "--static-only", *TOLD) == 2
  assert "is being written by another" in capsys.readouterr().err
  assert tree(step) == before
  os.close(descriptor)


@pytest.mark.parametrize(
  "words",
  [
    ["--dataset-repo=", "--loader-class="],
    ["--dataset-repo=@1", "--loader-class=a.B"],
    ["--dataset-repo=a@1", "--loader-class= "],
    ["--dataset-repo=a@1", "--loader-class=" + "x" * 513],
    ["--dataset-repo=a\nb@1", "--loader-class=a.B"],
    ["--dataset-repo=a@" + "x" * 70_000, "--loader-class=a.B", *TOLD[2:]],
    [*TOLD[:-1], "x" * 70_000],
  ],
)
def test_what_no_passport_takes_is_one_line(step, capsys, words):
  before = tree(step)
  assert run(step, "--static-only", *words) == 2
  err = capsys.readouterr().err
  assert err.count("\n") == 1
  assert err.startswith("error: ")
  assert len(err) < 1000
  assert tree(step) == before


def test_a_reason_that_is_too_long_is_named(step, capsys):
  assert run(step, "--static-only", *TOLD[:-1], "x" * 70_000) == 2
  assert "--reason: 70000 characters, at most" in capsys.readouterr().err


def test_words_that_are_no_text_are_spelled(step, monkeypatch):
  monkeypatch.setattr(sys, "argv", ["generate-passport", "a\udcff"])
  assert run(step, "--static-only", *TOLD) == 0
  found = schema.read(step / directory.PASSPORT)
  assert found.generator.argv == ("generate-passport", "a\\udcff")


@pytest.mark.parametrize("closed", [">&-", "| true", "> /dev/full"])
def test_what_is_written_does_not_depend_on_who_listens(step, closed):
  program = (
    "import sys\n"
    "from carnet.passport import generate_command\n"
    "sys.stdin.read()\n"  # until whoever reads has gone
    "sys.exit(generate_command.main())\n"
  )
  command = [sys.executable, "-c", program, str(step), "--static-only", *TOLD]
  shell = f'set -o pipefail; sleep 0.3 | "$@" {closed}'
  done = subprocess.run(
    ["bash", "-c", shell, "bash", *command], stderr=subprocess.PIPE, text=True
  )
  assert done.returncode == 0, done.stderr
  assert "Traceback" not in done.stderr
  assert schema.read(step / directory.PASSPORT).generator is not None


@pytest.mark.parametrize("name", ["nope", "nope.at.all"])
def test_a_module_that_is_not_there_is_one_line(step, name):
  told = "Traceback ...\nModuleNotFoundError: No module named 'nope'"
  done = subprocess.CompletedProcess(["python"], 1, "", told)
  error = generate._refusal(done, ["--entry=a:b", f"--import={name}"])
  assert str(error) == f"--import {name}: there is no such module"
  assert not hasattr(error, "__notes__")
  error = generate._refusal(done, ["--import=other"])
  assert error.__notes__ == [done.stderr]
