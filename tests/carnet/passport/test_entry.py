"""The installed commands, from their first import on."""

import pathlib
import subprocess
import sys
import tomllib

import pytest

from carnet.passport import entry

ROOT = pathlib.Path(__file__).parents[3]
INTERRUPTED = """
import sys

class Finder:
  def find_spec(self, name, path=None, target=None):
    if name == "pydantic":
      raise KeyboardInterrupt

sys.meta_path.insert(0, Finder())
from carnet.passport import entry
sys.exit(entry.{name}())
"""


@pytest.mark.parametrize("name", ["validate", "generate", "sign"])
def test_an_interrupt_while_importing_is_one_line(name):
  done = subprocess.run(
    [sys.executable, "-c", INTERRUPTED.format(name=name)], capture_output=True
  )
  assert (done.returncode, done.stderr) == (130, b"interrupted\n")


def test_it_is_what_is_installed():
  scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "scripts"
  ]
  assert sorted(scripts) == [
    *("generate-passport", "sign-checkpoint", "validate-checkpoint")
  ]
  for command, place in scripts.items():
    name = command.partition("-")[0]
    assert place == f"{entry.__name__}:{name}"
    assert callable(getattr(entry, name))


@pytest.mark.parametrize("name", ["validate", "generate", "sign"])
def test_it_runs_the_command(name, monkeypatch, capsys):
  monkeypatch.setattr(sys, "argv", ["command", "--nonsense"])
  with pytest.raises(SystemExit) as stop:
    getattr(entry, name)()
  assert stop.value.code == 2
  assert "(--help shows the usage)" in capsys.readouterr().err
