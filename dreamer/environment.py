"""From `config.environment` to environments, and to what the agent sees."""

import dataclasses
import functools
import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import config_dict

from carnet import config as config_lib
from carnet import envs, errors
from carnet.envs import base, jax_env, vector, wrappers
from carnet.envs import spaces as base_spaces
from dreamer import learner
from dreamer import spaces as spaces_lib

_KINDS = ("observations", "actions")
# what a replay keeps besides observations
_RESERVED = (*learner.FLAGS, "reward", "deter", "stoch", "stepid")


def make(
  environment: Mapping[str, Any],
  overrides: Mapping[str, Any] | None = None,
  modules: Sequence[str] = (),
) -> base.Env:
  """Returns one environment: its task, repeated and normalised actions.

  Args:
    environment: `config.environment` as plain values. The options of a suite
      are those under its name, what comes before "/" or ":" in the task's.
    overrides: more of them.
    modules: imported first; `envs.modules` says which a fresh process needs.
  """
  for module in modules:
    importlib.import_module(module)
  name = environment["name"]
  suite = suite_of(name)
  options = dict(environment.get(suite, {})) | dict(overrides or {})
  if suite == "gym":
    options = {key: value or None for key, value in options.items()}
  env = envs.make(name, **options)
  if environment["repeat"] > 1:
    env = wrappers.ActionRepeat(env, environment["repeat"])
  return wrappers.NormalizedActions(env)


def suite_of(name: str) -> str:
  """Returns the suite of a task: what comes before "/" or ":"."""
  return name.replace(":", "/").split("/")[0]


def frames_per_step(config: config_dict.ConfigDict) -> int:
  """Returns how many frames of the task one step of the policy lasts."""
  inner = (
    config.environment.atari.repeat
    if suite_of(config.environment.name) == "atari"
    else 1
  )
  return config.environment.repeat * inner


def open_vector(config: config_dict.ConfigDict) -> vector.Vector:
  """Returns the environments that training steps in."""
  loop = config.loop
  described = config_lib.to_json(config.environment)
  return vector.Vector(
    functools.partial(make, described, modules=envs.modules(described["name"])),
    loop.environments,
    config.seed,
    loop.processes,
    loop.process_timeout,
    loop.max_restarts,
  )


def spec_of(
  env: base.Env | vector.Vector | jax_env.Functional,
) -> learner.Spec:
  """Returns the spaces as the agent knows them.

  Raises:
    UserError: a space that no network here can take.
  """
  actions = env.action_space
  named = actions if isinstance(actions, dict) else {"action": actions}
  for name in env.observation_space:
    if name in _RESERVED or name.startswith("action/"):
      raise errors.UserError(
        f"an observation is called '{name}', which the replay calls something "
        "else: give it another name"
      )
  return learner.Spec(
    {k: _space(k, space) for k, space in env.observation_space.items()},
    {k: _bounded(_space(k, space), space) for k, space in named.items()},
    getattr(env, "control_hz", None),
  )


def _bounded(known: spaces_lib.Space, space: base.Space) -> spaces_lib.Space:
  """Returns the space of an action, with the bounds that it stands for."""
  if space.classes:
    return known
  wide = dataclasses.replace(space.unscaled or space, dtype="float64")
  low, high = (bound.ravel().tolist() for bound in base_spaces.bounds(wide))
  pairs = tuple(
    (a, b) if math.isfinite(a) and math.isfinite(b) else (None, None)
    for a, b in zip(low, high, strict=True)
  )
  return dataclasses.replace(known, bounds=pairs)


def _space(name: str, space: base.Space) -> spaces_lib.Space:
  if space.classes:
    return spaces_lib.Space(space.shape, space.classes)
  if space.dtype == "uint8" and len(space.shape) == 3:
    return spaces_lib.Space(space.shape, is_image=True)
  if np.issubdtype(space.dtype, np.floating):
    return spaces_lib.Space(space.shape)
  raise errors.UserError(
    f"'{name}' is {space.dtype} {space.shape}: observations and actions are "
    "floats, integers with `classes`, or uint8 images [height, width, channels]"
  )


def to_json(spec: learner.Spec) -> dict[str, Any]:
  """Returns the spaces as JSON values; `from_json` is the inverse."""
  found: dict[str, Any] = {
    kind: {name: _describe_space(x) for name, x in getattr(spec, kind).items()}
    for kind in _KINDS
  }
  if spec.control_hz is not None:
    found["control_hz"] = float(spec.control_hz)
  return found


def _describe_space(space: spaces_lib.Space) -> dict[str, Any]:
  found = {
    "shape": list(space.shape),
    "classes": space.classes,
    "is_image": space.is_image,
  }
  if space.bounds is not None:
    found["low"] = [low for low, _ in space.bounds]
    found["high"] = [high for _, high in space.bounds]
  return found


def from_json(data: Mapping[str, Any]) -> learner.Spec:
  """Returns the spaces that `to_json` turned into `data`.

  Files written before bounds and rates were kept have none.
  """

  def parse(spaces: Mapping[str, Any]) -> dict[str, spaces_lib.Space]:
    return {
      name: spaces_lib.Space(
        tuple(s["shape"]),
        s["classes"],
        s["is_image"],
        tuple(zip(s["low"], s["high"], strict=True)) if "low" in s else None,
      )
      for name, s in spaces.items()
    }

  return learner.Spec(
    parse(data["observations"]), parse(data["actions"]), data.get("control_hz")
  )


def check_same(stored: learner.Spec, found: learner.Spec, where: str) -> None:
  """Refuses spaces other than those a checkpoint was made with.

  Raises:
    UserError: every key that came, went or changed; also bounds of actions and
      the rate, where both are known.
  """
  faults = []
  for kind in _KINDS:
    before, now = getattr(stored, kind), getattr(found, kind)
    for name in sorted(before.keys() | now.keys()):
      if before.get(name) != now.get(name):
        faults.append(
          f"{kind[:-1]} '{name}' was {_describe(before.get(name))} and is "
          f"{_describe(now.get(name))}"
        )
      elif _parted(before[name].bounds, now[name].bounds):
        faults.append(
          f"{kind[:-1]} '{name}' had the bounds {before[name].bounds} and has "
          f"{now[name].bounds}"
        )
  if _parted(stored.control_hz, found.control_hz):
    faults.append(
      f"control_hz was {stored.control_hz} and is {found.control_hz}"
    )
  if faults:
    raise errors.UserError(
      f"the environment is not that of {where}: {'; '.join(faults)}"
    )


def _parted(before: Any, now: Any) -> bool:
  return before is not None and now is not None and before != now


def _describe(space: spaces_lib.Space | None) -> str:
  if space is None:
    return "absent"
  if space.is_image:
    return f"an image {space.shape}"
  return f"{space.classes or 'float'} {space.shape}"
