"""Errors that speak to the user: what was wrong, where, what to do."""

import difflib
import signal
from collections.abc import Iterable


class UserError(Exception):
  """A fault the user can mend; scripts print its one line and exit with 2."""


class Interrupted(Exception):
  """Work stopped on request, with everything saved."""

  def __init__(self, signal_name: str, message: str) -> None:
    super().__init__(message)
    self.exit_code = 128 + signal.Signals[signal_name]


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
  """Returns the error for a `name` that is not one of the `known` names."""
  options = sorted(known)
  near = difflib.get_close_matches(name, options, n=1)
  hint = f"did you mean '{near[0]}'? " if near else ""
  return UserError(
    f"unknown {kind} '{name}': {hint}(known: {', '.join(options)})"
  )
