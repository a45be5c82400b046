"""Where somebody said that demonstrations are."""

import os
import pathlib

from carnet import errors

_MOST_SHOWN = 80


def find(place: str) -> pathlib.Path:
  """Returns the path with ~ resolved, as far as it can be; it may be absent.

  Raises:
    UserError: no file can have that name, or nobody may look for it.
  """
  path = pathlib.Path(os.path.expanduser(place))  # pathlib's raises
  try:
    path.exists()
  except (OSError, ValueError) as error:
    shown = place if len(place) <= _MOST_SHOWN else f"{place[:_MOST_SHOWN]}..."
    reason = getattr(error, "strerror", None) or str(error)
    raise errors.UserError(f"'{shown}': {reason}") from error
  return path
