"""The gate as a shell has it: nothing that the caller says switches it off."""

import os
import subprocess
import sys

import oms_sample
import pytest

from carnet import errors
from carnet.checkpoint import directory
from carnet.passport import context, oms, outcome, validate, validate_command

KEY = oms_sample.private()
TIME = "2026-01-01T00:00:00Z"


def run(*words):
  try:
    return validate_command.main([str(word) for word in words])
  except SystemExit as stop:
    return stop.code


@pytest.fixture
def there(tmp_path):
  """Returns a folder with files of a caller."""
  (tmp_path / "key.pub").write_bytes(oms.public_key(KEY))
  (tmp_path / "key.pem").write_bytes(KEY)
  (tmp_path / "garbage").write_text("garbage")
  (tmp_path / "no_map").write_text('{"top": 1}')
  return tmp_path


@pytest.mark.parametrize(
  "words",
  [
    ["--require-signoff", "--skip-section=signoff"],
    ["--public-key={there}/key.pub", "--skip-section=signoff"],
    [f"--min-signed-utc={TIME}", "--skip-section=signoff"],
    ["--skip-section=schema"],
    ["--skip-section=files", "--skip-section=schema", "--require-signoff"],
  ],
)
def test_a_section_that_is_asked_for_is_not_skipped(step, there, capsys, words):
  assert run(step, *(word.format(there=there) for word in words)) == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert err.count("\n") == 1
  assert "--skip-section s" in err


@pytest.mark.parametrize(
  "word", ["--public-key={there}/key.pub", f"--min-signed-utc={TIME}"]
)
def test_what_needs_a_signoff_asks_for_one(step, there, capsys, word):
  (step / directory.SIGNOFF).unlink()
  assert run(step, word.format(there=there)) == 3
  assert "FAIL  signoff/signoff_present" in capsys.readouterr().out


def test_the_same_goes_for_programs(step):
  (step / directory.SIGNOFF).unlink()
  report = validate.validate(step, context.Options(min_signed_utc=TIME))
  assert "signoff_present" in report.named(outcome.Status.FAIL)
  for options in (
    context.Options(skip_sections=("schema",)),
    context.Options(skip_sections=("signoff",), require_signoff=True),
    context.Options(skip_sections=("signoff",), min_signed_utc=TIME),
  ):
    with pytest.raises(errors.UserError, match="--skip-section"):
      validate.validate(step, options)


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--public-key={there}/garbage"], "--public-key {there}/garbage: the"),
    (["--public-key={there}/key.pem"], "this is a private key"),
    (["--device-map={there}/garbage"], "--device-map: {there}/garbage is no"),
    (["--device-map={there}/no_map"], "is no map of cameras"),
    (["--dataset-path={there}"], "--dataset-path: {there} has neither"),
    (["--rerun", "--import=nope.at.all"], "--import nope.at.all: there is no"),
    (["--rerun", "--import="], "--import : there is no such module"),
    (["--rerun", "--entry=nope:make"], "--entry nope: there is no such module"),
  ],
)
def test_wrong_files_of_the_caller_are_no_verdict(
  step, there, capsys, words, message
):
  assert run(step, *(word.format(there=there) for word in words)) == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert err.count("\n") == 1
  assert message.format(there=there) in err


def test_modules_of_the_working_directory_are_found(
  step, there, monkeypatch, capsys
):
  monkeypatch.chdir(there)
  (there / "robot_of_theirs.py").touch()
  assert run(step, "--rerun", "--import=robot_of_theirs") in (0, 1)
  assert "-> " in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("--list-checks",)])
def test_a_closed_standard_output_is_one_line(step, words):
  program = (
    "import sys\n"
    "from carnet.passport import validate_command\n"
    "sys.exit(validate_command.main())\n"
  )
  command = [sys.executable, "-c", program, str(step), *words]
  done = subprocess.run(
    ["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE
  )
  assert done.returncode == 2
  assert done.stderr == b"error: cannot write standard output: it is closed\n"


def test_a_closed_standard_error_changes_no_exit_code(step, monkeypatch):
  monkeypatch.setattr(sys, "stderr", None)
  assert run(step, "--skip-section=schema") == 2


def test_a_hyphen_is_standard_output(step, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  before = set(os.listdir(tmp_path))
  assert run(step, "--output", "-") == 0
  assert "-> ship_it" in capsys.readouterr().out
  assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
  ("output", "html"),
  [
    ("report", "report"),
    ("report", "./report"),
    ("report", "link"),
    ("-", "-"),
  ],
)
def test_page_and_output_have_places_of_their_own(
  step, tmp_path, monkeypatch, capsys, output, html
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "link").symlink_to("report")
  assert run(step, "--output", output, "--html", html) == 2
  assert "--html and --output are the same" in capsys.readouterr().err
  assert not (tmp_path / "report").exists()


def test_a_device_is_written_into(step, tmp_path, capsys):
  place = tmp_path / "full"
  place.symlink_to("/dev/full")
  assert run(step, f"--output={place}") == 2
  err = capsys.readouterr().err
  assert err == f"error: cannot write {place}: No space left on device\n"
  assert place.is_symlink()


def test_nothing_that_a_package_is_trusted_for_is_imported(capsys):
  assert run("--help") == 0
  text = " ".join(capsys.readouterr().out.split())
  assert "searched for the model's class; it is not imported" in text


def test_an_empty_name_is_no_place(step, capsys):
  assert run(step, "--output=") == 2
  assert capsys.readouterr().err.count("\n") == 1
