"""What train and eval share: the family of a configuration, and `--import`."""

import importlib
import traceback
from collections.abc import Mapping
from typing import Any

from absl import flags

from carnet import errors

_IMPORT = flags.DEFINE_list(
  "import", [], "Modules of yours to import first, such as those of tasks."
)

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


def imported() -> list[str]:
  """Returns the modules that the user named."""
  return list(_IMPORT.value)


def import_modules() -> None:
  """Imports what the user named: no file chooses what is imported.

  Raises:
    UserError: there is no such module.
  """
  for name in _IMPORT.value:
    try:
      importlib.import_module(name)
    except ModuleNotFoundError as error:
      raise errors.UserError(
        f"--import={name}: {error}; PYTHONPATH says where to look"
      ) from error
    except Exception as error:  # whatever that module does
      fault = errors.UserError(
        f"--import={name} fails: {type(error).__name__} {error}"
      )
      fault.add_note("".join(traceback.format_exception(error)))
      raise fault from error
