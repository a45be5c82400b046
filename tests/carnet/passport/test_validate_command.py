"""The command: exit codes, one line for mistakes, and a light import."""

import json
import os
import re
import subprocess
import sys

import pytest
import sample
import told

from carnet.checkpoint import directory
from carnet.passport import (
  context,
  exit_code,
  formats,
  meter,
  validate,
  validate_command,
)

HEAVY = {
  *("jax", "jaxlib", "flax", "orbax", "tensorstore"),
  *("rich", "PIL", "matplotlib", "cryptography"),
}


def run(capsys, *words):
  """Returns exit code, stdout and stderr of the command."""
  try:
    code = validate_command.main([str(word) for word in words])
  except SystemExit as stop:
    code = stop.code
  out, err = capsys.readouterr()
  return code, out, err


def _unchanged(step):
  pass


def _unsigned(step):
  (step / directory.SIGNOFF).unlink()


def _other_weights(step):
  place = next(step.glob("agent/**/d/*"))
  content = bytearray(place.read_bytes())
  content[-1] ^= 1
  place.write_bytes(content)


def _no_passport(step):
  (step / directory.PASSPORT).unlink()


def _broken(step):
  (step / directory.PASSPORT).write_bytes(b'{"schema_version": "1.0", \xff')


def _by_nobody(step):
  sample.write(step, generator=None)
  sample.sign(step)


@pytest.mark.parametrize(
  ("change", "gate"),
  [
    (_unchanged, ()),
    (_unchanged, ("--strict",)),
    (_unsigned, ("--require-signoff",)),
    (_other_weights, ("--require-signoff",)),
    (_no_passport, ()),
    (_broken, ()),
    (_by_nobody, ()),
  ],
)
def test_one_verdict_and_exit_code_in_every_format(step, change, gate, capsys):
  change(step)
  options = context.Options(require_signoff="--require-signoff" in gate)
  report = validate.validate(step, options)
  wanted = exit_code.of(report, "--strict" in gate)
  for name in formats.FORMATS:
    code, out, _ = run(capsys, step, *gate, "--format", name)
    assert code == wanted
    assert report.verdict in out


@pytest.mark.parametrize("change", [_no_passport, _broken])
def test_a_checkpoint_without_a_passport_fails(step, change, capsys):
  change(step)
  code, out, _ = run(capsys, step)
  assert code == 1
  assert "FAIL  schema/json_limits" in out


@pytest.mark.parametrize("state", told.STATES)
def test_the_exit_code_is_that_of_the_report(state, step, capsys, monkeypatch):
  made, *codes = told.STATES[state]
  monkeypatch.setattr(validate, "examine", lambda found: told.report(*made))
  for flags, wanted in (((), codes[0]), (("--strict",), codes[1])):
    for name in formats.FORMATS:
      assert run(capsys, step, *flags, f"--format={name}")[0] == wanted


def test_a_step_is_found_from_its_workdir(step, capsys):
  outs = [
    run(capsys, path)[1].splitlines()[0]
    for path in (step, step.parent, step.parent.parent)
  ]
  assert outs == [str(step)] * 3


def test_another_programs_directory_needs_only_a_passport(
  step, tmp_path, capsys
):
  foreign = tmp_path / "foreign"
  foreign.mkdir()
  passport = (step / directory.PASSPORT).read_bytes()
  (foreign / directory.PASSPORT).write_bytes(passport)
  code, out, _ = run(capsys, foreign)
  assert code in (0, 1)
  assert "schema/schema_valid" in out


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ([], "CHECKPOINT is missing"),
    (["{step}/nowhere"], "no checkpoint at"),
    (["{step}", "--formt=json"], "unrecognized arguments: --formt=json"),
    (["{step}", "--form=json"], "unrecognized arguments: --form=json"),
    (["{step}", "--format=xml"], "invalid choice: 'xml'"),
    (["{step}", "--skip-section=fils"], "unknown section 'fils'"),
    (["{step}", "--public-key=nowhere"], "there is no file nowhere"),
    (["{step}", "--target-repo=nowhere"], "there is no directory nowhere"),
    (["{step}", "--min-signed-utc=yesterday"], "no time in UTC"),
    (["{step}", "--min-signed-utc=2026-01-01T00:00:00+02:00"], "no time in"),
    (["{step}", "--html={step}/report.html"], "lies in the checkpoint"),
    (["{step}", "--output={step}/o.txt"], "lies in the checkpoint"),
    (["{step}", "--output=nowhere/o.txt"], "there is no directory nowhere"),
    (["{step}", "extra\x1b[2J"], "unrecognized arguments: extra\\x1b[2J"),
    (["--list-checks", "--format=sarif"], "text and json only"),
  ],
)
def test_mistakes_are_one_line_and_exit_code_2(step, words, message, capsys):
  code, out, err = run(capsys, *(word.format(step=step) for word in words))
  assert code == 2
  assert out == ""
  assert err.startswith("error: ")
  assert message in err
  assert err.count("\n") == 1
  assert "\x1b" not in err


def test_what_cannot_be_written_is_one_line(step, tmp_path, capsys):
  code, _, err = run(capsys, step, f"--output={tmp_path}")
  assert code == 2
  assert re.fullmatch(r"error: cannot write '.*': give the .* file\n", err)


def test_output_goes_to_a_file_without_colours(step, tmp_path, capsys):
  place = tmp_path / "report.json"
  code, out, err = run(capsys, step, "--format=json", f"--output={place}")
  assert (out, err) == ("", "")
  assert json.loads(place.read_text())["exit_code"] == code
  assert [path.name for path in tmp_path.glob("*report*")] == ["report.json"]


def test_colours_only_on_a_terminal_and_not_with_no_color(
  step, capsys, monkeypatch
):
  monkeypatch.delenv("NO_COLOR", raising=False)
  assert "\x1b" not in run(capsys, step)[1]
  monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
  assert "\x1b[32mPASS\x1b[0m" in run(capsys, step)[1]
  monkeypatch.setenv("NO_COLOR", "1")
  assert "\x1b" not in run(capsys, step)[1]


def test_the_catalogue_is_listed_without_a_checkpoint(capsys):
  code, out, _ = run(capsys, "--list-checks", "--verbose")
  assert code == 0
  assert "hard  schema/json_limits" in out
  assert "Pass: JSON within size and depth" in out
  code, out, _ = run(capsys, "--list-checks", "--format=json")
  rows = json.loads(out)["checks"]
  assert [row["id"] for row in rows] == [x.id for x in validate.catalogue()]


def test_skipped_sections_are_not_checked(step, capsys):
  _, out, _ = run(capsys, step, "--skip-section=orbax", "--show-not-checked")
  assert "----  orbax/tree_digest" in out
  assert "skipped on request" in out


def test_verbose_prints_docstrings_and_statistics(step, capsys):
  _, out, _ = run(capsys, step, "--verbose")
  assert "Pass: JSON within size and depth" in out
  rows = dict(re.findall(r"^  (\S+) +(.*)$", out, re.MULTILINE))
  assert rows["waist"].split() == ["0", "0.25", "-2", "-1.5", "1.5", "2"]
  assert "state in stats.json" in out


def test_large_checkpoints_are_announced(step, capsys, monkeypatch):
  assert run(capsys, step)[2] == ""
  monkeypatch.setattr(meter, "SHOWN_FROM_BYTES", 1000)
  assert re.fullmatch(r"hashing \d+\.\d GB, \d+ files\n", run(capsys, step)[2])


def test_a_reader_that_leaves_early_is_no_traceback(step):
  program = (
    "import sys\n"
    "from carnet.passport import validate_command\n"
    "sys.exit(validate_command.main())\n"
  )
  read, write = os.pipe()
  os.close(read)
  done = subprocess.run(
    [sys.executable, "-c", program, step, "--verbose"],
    stdout=write,
    stderr=subprocess.PIPE,
  )
  os.close(write)
  assert (done.returncode, done.stderr) == (2, b"")


def test_the_import_loads_nothing_heavy():
  done = subprocess.run(
    [
      *(sys.executable, "-X", "importtime", "-c"),
      "import carnet.passport.validate_command",
    ],
    capture_output=True,
    text=True,
    check=True,
  )
  found = re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE)
  assert "carnet.passport.validate" in found
  assert {name.split(".")[0] for name in found} & HEAVY == set()
  # a page is only loaded when it is asked for
  assert not [name for name in found if name.startswith("carnet.passport.page")]
