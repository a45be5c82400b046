"""Calls scripts within this process."""

import pytest
from absl import flags
from absl.testing import flagsaver


@pytest.fixture
def call_script(capsys, monkeypatch):
  """Returns a function: script and words -> exit code, stdout and stderr."""

  def call(script, words, columns=120):
    monkeypatch.setenv("COLUMNS", str(columns))
    capsys.readouterr()
    with flagsaver.flagsaver():
      code = script.main(flags.FLAGS(["script.py", *map(str, words)]))
    return code, *capsys.readouterr()

  return call
