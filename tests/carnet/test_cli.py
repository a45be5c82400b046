"""Mistakes at a script's door: one line on stderr, exit code 2."""

import pathlib
import subprocess
import sys

import pytest

from carnet import terminal

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = """
import pathlib, signal, sys
from absl import flags
from ml_collections import config_flags
from carnet import cli, errors
config = config_flags.DEFINE_config_file("config", None, "A file.")
fault = flags.DEFINE_string("fault", "", "What goes wrong.")

def main(argv):
  if fault.value == "user":
    raise errors.UserError("no such\\nthing")
  if fault.value == "name":
    open("x" * 300)
  if fault.value == "absent":
    open("absent")
  if fault.value == "bug":
    raise RuntimeError("a bug keeps its traceback")
  if fault.value == "signal":
    raise errors.Interrupted("SIGTERM", "saved step 3")
  print("width", config.value.model.width)

cli.run(main)
"""
WORDS = """
import sys
from absl import flags
from carnet import cli, errors
loud = flags.DEFINE_bool("loud", False, "Whether to shout.")

def main(argv):
  if argv[1:] == ["fail"]:
    raise errors.UserError("in\\x1b[2J\\u202efile\\x9b")
  print(loud.value, argv[1:])
  return len(argv) - 1

cli.run(main, positional=True)
"""
CONFIG = "--config=configs/act/quickstart.py"


def _run(*arguments, script=SCRIPT):
  command = [sys.executable, "-c", script, *arguments]
  return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_flags_reach_main():
  done = _run(CONFIG, "--config.model.width=64")
  assert (done.returncode, done.stdout) == (0, "width 64\n")
  assert done.stderr == ""


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([CONFIG, "--fault=user"], "no such thing"),
    ([CONFIG, "--config.model.widht=3"], 'Did you mean "width"'),
    ([CONFIG, "--config.modle.width=3"], 'Did you mean "model"'),
    ([CONFIG, "--config.model.width.deep=3"], "deep"),
    ([CONFIG, "--config.model.width=wide"], "config.model.width=wide"),
    (["--config=configs/act/absent.py"], "configs/act/absent.py"),
    ([CONFIG, "--falt=user"], "falt"),
    ([CONFIG, "fault=user"], "unexpected argument 'fault=user'"),
  ],
)
def test_mistakes_end_with_one_line_and_two(arguments, message):
  done = _run(*arguments)
  assert done.returncode == 2, done.stderr
  assert done.stderr.startswith("error: ")
  assert message in done.stderr
  assert done.stderr.count("\n") == 1


def test_a_path_that_no_disk_takes_is_a_mistake():
  done = _run(CONFIG, "--fault=name")
  assert done.returncode == 2
  assert done.stderr.endswith("x: File name too long\n")
  assert done.stderr.count("\n") == 1


def test_a_file_that_nobody_looked_for_is_a_bug():
  done = _run(CONFIG, "--fault=absent")
  assert done.returncode == 1
  assert "Traceback" in done.stderr


def test_interruption_has_the_exit_code_of_its_signal():
  done = _run(CONFIG, "--fault=signal")
  assert done.returncode == 143
  assert "saved step 3; run the same command again" in done.stderr


def test_a_bug_keeps_its_traceback():
  done = _run(CONFIG, "--fault=bug")
  assert done.returncode == 1
  assert "Traceback" in done.stderr


def test_words_reach_main_where_they_are_wanted():
  done = _run("show", "--loud", "runs/a", script=WORDS)
  assert (done.returncode, done.stderr) == (2, "")
  assert done.stdout == "True ['show', 'runs/a']\n"
  done = _run("--lood", "show", script=WORDS)
  assert done.returncode == 2
  assert "Did you mean: loud" in done.stderr


def test_dashes_within_a_flag_are_underscores():
  script = WORDS.replace('"loud"', '"very_loud"')
  for flag, said in (("--very-loud", True), ("--novery-loud", False)):
    assert _run("a", flag, script=script).stdout == f"{said} ['a']\n"
  done = _run("a-b", "--very-lood", script=script)
  assert done.returncode == 2
  assert "very-lood" in done.stderr


def test_an_error_obeys_no_escape_of_a_file():
  done = _run("fail", script=WORDS)
  assert done.stderr == "error: in\\x1b[2J\\u202efile\\x9b\n"


@pytest.mark.parametrize(
  ("text", "shown"),
  [
    ("agent/params été 手", "agent/params été 手"),
    ("a\x00b\x7f\n", "a\\x00b\\x7f\\n"),
    ("\ud800", "\\ud800"),
    ("[red]a[/red]", "[red]a[/red]"),
  ],
)
def test_printable(text, shown):
  assert terminal.printable(text) == shown
