"""Environments by name; a simulator is imported when one of its tasks is made.

Importing this package registers the tasks with Gymnasium where it is installed.
"""

import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from typing import Any

from carnet import errors, extras
from carnet.envs import base

# Name: (module, task); the module's `make(task, **options)` is called.
_TASKS = {
  "aloha/transfer_cube": ("carnet.envs.aloha", "transfer_cube"),
  "aloha/insertion": ("carnet.envs.aloha", "insertion"),
  "catch": ("carnet.envs.jax_env", "catch"),
  "crafter/noreward": ("carnet.envs.crafter", "noreward"),
  "crafter/reward": ("carnet.envs.crafter", "reward"),
}

# Beginning of a name: (module, an example); the module's `make` gets the rest,
# and its `names()` lists what there is.
_FAMILIES = {
  "atari/": ("carnet.envs.atari", "pong"),
  "dmc/": ("carnet.envs.dmc", "walker_walk"),
}
_GYM = "gym:"
_GYMNAX = "gymnax:"

_GYMNASIUM = {
  "aloha/transfer_cube": "AlohaTransferCube",
  "aloha/insertion": "AlohaInsertion",
}


def make(name: str, **options: Any) -> base.Env:
  """Returns the environment `name`; `UserError` for a wrong name or option."""
  module, task = _find(name)
  function = importlib.import_module(module).make
  parameters = inspect.signature(function).parameters.values()
  known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
  if all(p.kind is not p.VAR_KEYWORD for p in parameters):
    for option in options:
      if option not in known:
        raise errors.unknown(f"option of {name}:", option, known)
  return function(task, **options)


def modules(name: str) -> tuple[str, ...]:
  """Returns what a fresh process must import before it can `make(name)`.

  That is the module of "gym:module:Env-v0"; `UserError` where this program has
  not imported it, for no file may choose what is imported.
  """
  if not name.startswith(_GYM):
    return ()
  module, _ = _find(name)
  found = importlib.import_module(module).module(name.removeprefix(_GYM))
  return (found,) if found else ()


def _find(name: str) -> tuple[str, str]:
  if name in _TASKS:
    return _TASKS[name]
  if name.startswith(_GYM):
    extras.load("gymnasium", "gym")
    return "carnet.envs.gym_env", name.removeprefix(_GYM)
  if name.startswith(_GYMNAX):
    return "carnet.envs.jax_env", name
  for beginning, (module, _) in _FAMILIES.items():
    if name.startswith(beginning):
      return module, name.removeprefix(beginning)
  raise _unknown(name)


def _unknown(name: str) -> errors.UserError:
  near = difflib.get_close_matches(name, _names(), n=3)
  hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
  examples = [start + task for start, (_, task) in _FAMILIES.items()]
  return errors.UserError(
    f"unknown task '{name}': {hint}(known: "
    f"{', '.join([*_TASKS, *examples])}, gym:CartPole-v1, and their like)"
  )


def _names() -> Iterator[str]:
  """Yields every name whose package is installed."""
  yield from _TASKS
  for beginning, (module, _) in _FAMILIES.items():
    try:
      names = importlib.import_module(module).names()
    except errors.UserError:
      continue  # the package is not installed
    yield from (beginning + task for task in names)
  if importlib.util.find_spec("gymnasium") is not None:
    yield from (
      _GYM + name for name in extras.load("gymnasium", "gym").registry
    )


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
