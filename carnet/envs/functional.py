"""Environments written in JAX by name, as pure functions for compiled loops."""

import importlib.util
from types import ModuleType
from typing import Any

from carnet import errors
from carnet.envs import catch, gymnax_env

_OURS: dict[str, ModuleType] = {"catch": catch}
_GYMNAX = "gymnax:"


def make(name: str) -> Any:
  """Returns a `jax_env.Functional`: `catch`, or `gymnax:ID` such as
  `gymnax:Breakout-MinAtar`.

  Raises:
    UserError: there is no such environment in JAX, or gymnax is not installed.
  """
  if name in _OURS:
    return _OURS[name]
  if name.startswith(_GYMNAX):
    return _from_gymnax(name.removeprefix(_GYMNAX))
  raise errors.unknown(
    "environment written in JAX", name, [*_OURS, "gymnax:Catch-bsuite"]
  )


def _from_gymnax(identifier: str) -> gymnax_env.GymnaxEnvironment:
  if importlib.util.find_spec("gymnax") is None:
    raise errors.UserError(
      f"gymnax:{identifier} needs what is not installed: pip install gymnax"
    )
  import gymnax

  if identifier not in gymnax.registered_envs:
    raise errors.unknown("gymnax", identifier, gymnax.registered_envs)
  environment, params = gymnax.make(identifier)
  return gymnax_env.GymnaxEnvironment(environment, params)
