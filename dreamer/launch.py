"""What a run of DreamerV3 begins with: its environments and its classes."""

import pathlib
from typing import Any

from ml_collections import config_dict

import dreamer
from carnet import config as config_lib
from carnet import jax_settings, launch, run_context
from carnet.envs import packages
from dreamer import agent, environment


def capture(config: config_dict.ConfigDict) -> run_context.Context:
  """Returns the facts of a run that begins now."""
  task = _task(config)
  return launch.capture(
    pathlib.Path(str(dreamer.__file__)),
    [task],
    run_context.Model(
      class_name=agent.Agent.__name__,
      class_module=agent.__name__,
      config_module="dreamer.config",
    ),
    packages=("ml_collections", *(task.env_versions or {})),
    jax_settings=jax_settings.describe(),
  )


def _task(config: config_dict.ConfigDict) -> run_context.Dataset:
  """Returns the environment: for what learns by acting, this is the data."""
  name = config.environment.name
  factory = (
    "carnet.envs.functional" if config.loop.compiled else (environment.__name__)
  )
  return run_context.Dataset(
    id=name,
    kind="environment",
    revision=None,
    env_versions={**packages.versions(name)},
    loader_class=f"{factory}.make",
    split=_wrappers(config),
  )


def _wrappers(config: config_dict.ConfigDict) -> dict[str, Any]:
  described = config_lib.to_json(config.environment)
  suite = environment.suite_of(config.environment.name)
  return {
    "seed": config.seed,
    "environments": config.loop.environments,
    "repeat": described["repeat"],
    "options": described.get(suite, {}),
  }
