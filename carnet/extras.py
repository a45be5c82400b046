"""Packages that only some uses need, imported when one of them begins."""

import importlib
from types import ModuleType

from carnet import errors


def load(module: str, extra: str) -> ModuleType:
  """Returns the module; `UserError` naming our `extra` where it is absent."""
  try:
    return importlib.import_module(module)
  except ModuleNotFoundError as error:
    raise errors.UserError(
      f"{error.name} is not installed: pip install 'carnet[{extra}]'"
    ) from error
