"""Flags that XLA would end the process for are one line before it does."""

import pytest

from carnet import errors, xla_flags
from carnet.passport import sign_command, validate_command
from carnet.passport.dynamic import extract

UNKNOWN = "--xla_no_such_flag=1"


@pytest.fixture(scope="module", autouse=True)
def _afresh():
  xla_flags._complaint.cache_clear()


def test_flags_that_xla_knows(monkeypatch):
  for given in ("", "  ", "--xla_force_host_platform_device_count=2"):
    monkeypatch.setenv("XLA_FLAGS", given)
    xla_flags.check()
  monkeypatch.delenv("XLA_FLAGS")
  xla_flags.check()


def test_flags_that_it_does_not_know(monkeypatch, tmp_path, capsys):
  monkeypatch.setenv("XLA_FLAGS", UNKNOWN)
  message = (
    rf"XLA_FLAGS='{UNKNOWN}' is refused by XLA \(Unknown flag in XLA_FLAGS: "
    rf"{UNKNOWN}\)"
  )
  with pytest.raises(errors.UserError, match=message):
    xla_flags.check()
  with pytest.raises(errors.UserError, match=message):  # the fresh process
    extract.main([str(tmp_path)] * 3)
  (tmp_path / "MODEL_PASSPORT.json").write_text("{}")
  for main, words in (
    (validate_command.main, ["--rerun"]),
    (sign_command.main, []),
  ):
    assert main([str(tmp_path), *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: XLA_FLAGS='{UNKNOWN}' is refused by XLA")
    assert said.count("\n") == 1


def test_files_are_compared_whatever_the_flags(monkeypatch, tmp_path, capsys):
  monkeypatch.setenv("XLA_FLAGS", UNKNOWN)
  (tmp_path / "MODEL_PASSPORT.json").write_text("{}")
  assert validate_command.main([str(tmp_path)]) == 1
  assert "schema_valid" in capsys.readouterr().out
