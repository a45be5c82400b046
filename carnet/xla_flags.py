"""`XLA_FLAGS` asked before XLA is: it ends a process for a flag it lacks.

That end is an exit of C with code 1, which no Python code can catch. This file
imports no JAX: a process of its own tries.
"""

import functools
import os
import subprocess
import sys

from carnet import errors, search_path

_VARIABLE = "XLA_FLAGS"
_PROGRAM = "import jax; jax.devices()"


def check() -> None:
  """Returns if XLA takes the flags, or none are set, or there is no JAX.

  Raises:
    UserError: it would end this process.
  """
  given = os.environ.get(_VARIABLE, "")
  complaint = _complaint(given) if given.strip() else None
  if complaint is not None:
    raise errors.UserError(
      f"{_VARIABLE}='{given}' is refused by XLA ({complaint}): unset it, or "
      "give it flags of this version"
    )


@functools.lru_cache(maxsize=1)  # starting JAX takes seconds
def _complaint(given: str) -> str | None:
  done = subprocess.run(
    [sys.executable, search_path.SAFE, "-c", _PROGRAM],
    # flags are the same for all devices, and the CPU is never busy
    env=os.environ | {_VARIABLE: given, "JAX_PLATFORMS": "cpu"},
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
  )
  lines = done.stderr.decode(errors="replace").splitlines()
  named = [line for line in lines if _VARIABLE in line]
  if not done.returncode or not named:
    return None
  return named[-1].rpartition("] ")[2]  # behind time and line of XLA's source
