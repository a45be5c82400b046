"""The ways into the installed commands: Ctrl-C counts from the first import."""

import importlib
import sys


def validate() -> int:
  """Runs `validate-checkpoint`; returns its exit code."""
  return _run("validate_command")


def generate() -> int:
  """Runs `generate-passport`; returns its exit code."""
  return _run("generate_command")


def sign() -> int:
  """Runs `sign-checkpoint`; returns its exit code."""
  return _run("sign_command")


def _run(name: str) -> int:
  try:
    return importlib.import_module(f"carnet.passport.{name}").main()
  except KeyboardInterrupt:
    if sys.stderr is not None:
      sys.stderr.write("interrupted\n")
    return 130
