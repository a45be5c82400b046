"""ACT from a checkpoint, ready to be evaluated; it reads nothing else."""

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import config_dict

from act import config as act_config
from act import contract, policy, transforms
from act import features as features_lib
from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import envs, errors, evaluation
from carnet.checkpoint import directory
from carnet.envs import base
from carnet.passport import pipeline as pipeline_lib
from carnet.passport import shown

# what may differ from training: name -> what holds for its values, in words
_OPTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
  "n_action_steps": (
    lambda x: type(x) is int and x >= 1,
    "give an integer from 1 on, of actions executed per query",
  ),
  "temporal_ensemble": (lambda x: type(x) is bool, "give True or False"),
  "temporal_ensemble_coefficient": (
    lambda x: (
      isinstance(x, int | float) and type(x) is not bool and -10 <= x <= 10
    ),
    "give a number from -10 to 10; the original uses 0.01",
  ),
}


def load(
  path: pathlib.Path,
  overrides: Mapping[str, Any] | None = None,
  pipeline: pipeline_lib.Steps | None = None,
) -> evaluation.Loaded:
  """Returns the policy of a checkpoint and its task, digests verified.

  Reads parameters and small files; neither optimizer nor data are touched.

  Args:
    path: a step directory, or a workdir for its newest step.
    overrides: replace execution options of `config.model`: `n_action_steps`,
      or `temporal_ensemble` and `temporal_ensemble_coefficient`; None keeps
      the trained ones.
    pipeline: the steps from sensor to network and from network to command, such
      as a passport's; None is what the checkpoint's own files tell.

  Raises:
    UserError: no valid checkpoint, or an option that does not fit it.
  """
  step_directory = directory.resolve(path)
  config = config_lib.from_json(
    checkpoint_lib.read_json(step_directory, "config.json"),
    act_config.default_config(),
  )
  if pipeline is None:
    pipeline = contract.describe(step_directory).transform_pipeline
  given = evaluation.chosen(overrides, _OPTIONS)
  if given:
    _override(config, given)
    pipeline = _executed_as(config.model, pipeline)
  agent = checkpoint_lib.read(
    step_directory, regex="agent/(params|buffers)/.*"
  )["agent"]
  acting = policy.Policy(
    config,
    features_lib.from_json(
      checkpoint_lib.read_json(step_directory, "features.json")
    ),
    checkpoint_lib.read_json(step_directory, "stats.json"),
    agent["params"],
    agent.get("buffers", {}),
    pipeline,
  )
  return evaluation.Loaded(
    step_directory,
    acting,
    functools.partial(make_env, config),
    functools.partial(_make_stage, config),
    config.environment.max_steps,
    {
      "task": config.environment.name,
      "environment": config.environment.to_dict(),
      "execution": execution(acting.execution),
    },
  )


def _override(config: config_dict.ConfigDict, given: Mapping[str, Any]) -> None:
  for name, value in given.items():
    holds, wanted = _OPTIONS[name]
    if not holds(value):
      raise errors.UserError(f"{name} {shown.cut(repr(value))}: {wanted}")
  averages = given.get("temporal_ensemble")
  coefficient = "temporal_ensemble_coefficient" in given
  if (averages or coefficient) and "n_action_steps" in given:
    raise errors.UserError(
      "n_action_steps and temporal ensembling exclude each other: "
      "ensembling queries at every step"
    )
  if averages is False and coefficient:
    raise errors.UserError(
      "temporal_ensemble_coefficient is for temporal ensembling, which "
      "temporal_ensemble turns off: leave one away"
    )
  with config.unlocked():
    config.model.update(given)
    # a coefficient asks for ensembling, a number of actions for none
    if averages is None:
      config.model.temporal_ensemble = coefficient
  if config.model.n_action_steps > config.model.chunk_size:
    raise errors.UserError(
      f"n_action_steps {config.model.n_action_steps} is more than the "
      f"{config.model.chunk_size} actions of a chunk"
    )


def make_env(config: config_dict.ConfigDict, **options: Any) -> base.Env:
  """Returns the environment that `config.environment` describes."""
  described = config.environment.to_dict() | options
  return envs.make(described.pop("name"), **described)


def execution(chosen: policy.Execution) -> dict[str, Any]:
  """Returns how the predicted chunks are executed."""
  if chosen.coefficient is not None:
    return {"temporal_ensemble_coefficient": chosen.coefficient}
  return {"n_action_steps": chosen.n_action_steps}


def _executed_as(
  model: config_dict.ConfigDict, steps: pipeline_lib.Steps
) -> pipeline_lib.Steps:
  """Returns the pipeline with chunks executed as `config.model` says."""
  coefficient = model.temporal_ensemble_coefficient
  return tuple(
    transforms.execute(
      step.index,
      step.params.horizon,
      model.n_action_steps,
      coefficient if model.temporal_ensemble else None,
    )
    if step.op == "execute_chunk"
    else step
    for step in steps
  )


def _make_stage(
  config: config_dict.ConfigDict, height: int
) -> tuple[base.Env, str]:
  camera = config.evaluation.video_camera
  size = {"height": height, "width": height * 2 // 3 * 2}
  return make_env(config, cameras=(camera,), **size), camera
