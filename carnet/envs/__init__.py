"""Environments by name; a simulator is imported when one of its tasks is made.

Importing this package registers the tasks with Gymnasium where it is installed.
"""

import importlib
import importlib.util
from typing import Any

from carnet import errors
from carnet.envs import base

# Name: (module, task); the module's `make(task, **options)` is called.
_TASKS = {
  "aloha/transfer_cube": ("carnet.envs.aloha", "transfer_cube"),
  "aloha/insertion": ("carnet.envs.aloha", "insertion"),
}

_GYMNASIUM = {
  "aloha/transfer_cube": "AlohaTransferCube",
  "aloha/insertion": "AlohaInsertion",
}


def make(name: str, **options: Any) -> base.Env:
  """Returns the environment `name`; `UserError` for a wrong name or option."""
  if name not in _TASKS:
    raise errors.unknown("task", name, _TASKS)
  module, task = _TASKS[name]
  return importlib.import_module(module).make(task, **options)


def _register_with_gymnasium() -> None:
  if importlib.util.find_spec("gymnasium") is None:
    return
  import gymnasium

  for task, title in _GYMNASIUM.items():
    gymnasium.register(
      f"carnet/{title}-v0",
      "carnet.envs.gymnasium_api:GymnasiumEnv",
      kwargs={"name": task},
    )


_register_with_gymnasium()
