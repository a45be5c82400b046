"""Where a fresh Python looks for modules: in no checkpoint.

A checkpoint may be a stranger's. Python looks for every module, those of its
own library included, first in the current directory: with `-P` it does not.
"""

import os
import pathlib
from collections.abc import Iterator

from carnet import errors

_VARIABLE = "PYTHONPATH"
SAFE = "-P"  # an option of Python 3.11 and later


def options(checkpoint: pathlib.Path, names_module: bool) -> tuple[str, ...]:
  """Returns the options of an interpreter that starts on a checkpoint.

  It looks into the current directory if the caller names a module: that may
  lie there, as with `python -m`.

  Raises:
    UserError: of `check`.
  """
  check(checkpoint, pathlib.Path.cwd() if names_module else None)
  return () if names_module else (SAFE,)


def check(checkpoint: pathlib.Path, place: pathlib.Path | None) -> None:
  """Refuses to look for modules in a checkpoint.

  Args:
    checkpoint: its directory.
    place: the directory that is looked into first, if one is.

  Raises:
    UserError: that, or an entry of PYTHONPATH, lies in the checkpoint.
  """
  top = checkpoint.resolve()
  if place is not None and place.resolve().is_relative_to(top):
    raise errors.UserError(
      f"modules are looked for in {place}, which lies in the checkpoint: its "
      "files would run as code; work in another directory, where your module is"
    )
  for entry in _entries():
    if pathlib.Path(entry).resolve().is_relative_to(top):
      raise errors.UserError(
        f"{_VARIABLE} has '{entry}', which lies in the checkpoint: its files "
        "would run as code; take the entry away, or work elsewhere"
      )


def _entries() -> Iterator[str]:
  """Yields the entries of PYTHONPATH; an empty one is the current directory."""
  text = os.environ.get(_VARIABLE)
  if text:
    yield from text.split(os.pathsep)
