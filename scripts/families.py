"""Which of the two families of policies a configuration is of."""

from collections.abc import Mapping
from typing import Any

from carnet import errors

NAMES = ("act", "dreamer")


def of(config: Mapping[str, Any]) -> str:
  """Returns "act" or "dreamer", as `config.agent` says.

  Raises:
    UserError: it says something else, or nothing.
  """
  name = config.get("agent", None)
  if name not in NAMES:
    raise errors.unknown("config.agent", str(name), NAMES)
  return str(name)
