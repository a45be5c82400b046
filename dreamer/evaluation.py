"""DreamerV3 from a checkpoint, ready to be evaluated; it reads nothing else."""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import evaluation
from carnet.checkpoint import directory
from carnet.envs import base
from carnet.passport import pipeline as pipeline_lib
from dreamer import config as dreamer_config
from dreamer import contract, environment, learner, policy


def load(
  path: pathlib.Path,
  overrides: Mapping[str, Any] | None = None,
  pipeline: pipeline_lib.Steps | None = None,
) -> evaluation.Loaded:
  """Returns the policy of a checkpoint and its task, digests verified.

  Needs the parameters' component and small files: the rest, such as replay and
  environments, may be missing.

  Args:
    path: a step directory, or a workdir for its newest step.
    overrides: `actions`, "sample" or "mode"; None keeps the configured.
    pipeline: the steps from sensor to network, such as a passport's; None is
      what the checkpoint's own files tell.

  Raises:
    UserError: no valid checkpoint, an environment with other spaces, or an
      option that there is not.
  """
  given = evaluation.chosen(overrides, ("actions",))
  step_directory = directory.resolve(path)
  config = config_lib.from_json(
    checkpoint_lib.read_json(step_directory, "config.json"),
    dreamer_config.default_config(),
  )
  spec = environment.from_json(
    checkpoint_lib.read_json(step_directory, "spaces.json")
  )
  if pipeline is None:
    pipeline = contract.describe(step_directory).transform_pipeline
  described = config_lib.to_json(config.environment)
  make_env = functools.partial(environment.make, described)
  trial = make_env()
  try:
    environment.check_same(spec, environment.spec_of(trial), str(path))
  finally:
    trial.close()
  params = checkpoint_lib.read(step_directory, regex="agent/params/.*")
  actions = str(given.get("actions", config.evaluation.actions))
  graph = learner.make_graph(config, spec)
  acting = policy.Policy(
    config, spec, graph, params["agent"]["params"], actions, pipeline
  )
  return evaluation.Loaded(
    step_directory,
    acting,
    make_env,
    functools.partial(_make_stage, described),
    None,
    {
      "task": config.environment.name,
      "environment": described,
      "execution": {"actions": actions},
    },
    config.evaluation.max_steps,
  )


def _make_stage(
  described: Mapping[str, Any], height: int
) -> tuple[base.Env, str]:
  # the others' pictures are of the size that they are
  sized = environment.suite_of(described["name"]) in ("crafter", "dmc")
  return environment.make(
    described, {"render_size": height} if sized else {}
  ), ""
