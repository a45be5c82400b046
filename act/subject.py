"""What the network sees of observations, by the trained code and the pipeline.

A check compares both: they must agree to rounding.
"""

import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from act import config as act_config
from act import features as features_lib
from act import normalize
from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet.envs import base
from carnet.passport import pipeline

Arrays = dict[str, np.ndarray]


def prepared_by_code(
  directory: pathlib.Path, observations: base.Observation
) -> Arrays:
  """Returns observations [N, ...] as `act.normalize` feeds the network.

  The keys are those of the forward graph: "images/<camera>", "state".
  """
  config, spec, statistics = _facts(directory)
  images = {c: observations[f"images/{c}"] for c in spec.cameras}
  batch: dict[str, Any] = {"images": images}
  if spec.state_size:
    batch["state"] = observations[config.dataset.state]
  if spec.environment_state_size:
    batch["environment_state"] = observations["environment_state"]
  found = normalize.batch(batch, statistics, config.normalization)
  flat = {f"images/{c}": x for c, x in found.pop("images").items()} | found
  return {key: np.asarray(x) for key, x in flat.items()}


def finished_by_code(
  directory: pathlib.Path, actions: Float[np.ndarray, "*B A"]
) -> Float[np.ndarray, "*B A"]:
  """Returns the network's actions as joint targets, by `act.normalize`."""
  config, _, statistics = _facts(directory)
  return np.asarray(
    normalize.actions_inverse(
      jnp.asarray(actions), statistics, config.normalization
    )
  )


def finished_by_pipeline(
  directory: pathlib.Path,
  steps: pipeline.Steps,
  actions: Float[np.ndarray, "N K A"],
) -> Float[np.ndarray, "N k A"]:
  """Returns what is executed of chunks, by the steps of a pipeline."""
  statistics = pipeline.statistics_in(directory)
  given = {"actions": actions}
  return pipeline.run(steps, "post", given, statistics, np)["action"]


def _facts(directory: pathlib.Path) -> tuple[Any, features_lib.Features, Any]:
  config = config_lib.from_json(
    checkpoint_lib.read_json(directory, "config.json"),
    act_config.default_config(),
  )
  features = checkpoint_lib.read_json(directory, "features.json")
  return (
    config,
    features_lib.from_json(features),
    checkpoint_lib.read_json(directory, "stats.json"),
  )
