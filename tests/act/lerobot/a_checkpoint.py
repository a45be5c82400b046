"""Checkpoints to export: networks at random, of any variant, in no time."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from act import config as config_lib
from act import features as features_lib
from act import learner, statistics
from carnet import checkpoint as checkpoint_lib
from carnet import config as json_lib
from carnet import run_context

FEATURES = features_lib.Features(
  images=(("top", (96, 128, 3)), ("wrist", (96, 128, 3))),
  action_size=3,
  state_size=4,
)
SMALL = dataclasses.replace(
  FEATURES, images=(("top", (32, 48, 3)), ("wrist", (32, 48, 3)))
)
DATASET: dict[str, Any] = {
  "task": "user/so101",
  "control_hz": 30.0,
  "names": {
    "images/top": "observation.images.top",
    "images/wrist": "observation.images.wrist",
    "state": "observation.state",
    "action": "action",
  },
}


def config(
  model: Mapping[str, Any] | None = None, **groups: Mapping[str, Any]
) -> ml_collections.ConfigDict:
  """Returns a small network that LeRobot can build, with some changes."""
  found = config_lib.default_config()
  found.model.update(
    chunk_size=6,
    n_action_steps=6,
    width=16,
    heads=2,
    feedforward=24,
    encoder_layers=2,
    latent_size=4,
    vae_encoder_layers=1,
    backbone_norm="frozen",
  )
  found.dataset.update(state="state", cameras=("top", "wrist"))
  found.model.update(**(model or {}))
  for name, values in groups.items():
    found[name].update(**values)
  return found


def narrow(**model: Any) -> ml_collections.ConfigDict:
  """Returns one with a backbone that LeRobot would not build, but quick."""
  return config({"backbone_widths": (4, 4, 8, 8), **model})


def blocks(spec: features_lib.Features) -> dict[str, Any]:
  """Returns statistics; the first of each vector has nearly none."""
  random = np.random.default_rng(1)
  found: dict[str, Any] = {}
  for name, size in (
    ("state", spec.state_size),
    ("environment_state", spec.environment_state_size),
    ("action", spec.action_size),
  ):
    if size:
      values = random.normal(size=(50, size)) * 3.0 + 1.0
      values[:, 0] = 1.0 + 1e-4 * values[:, 0]
      found[name] = statistics.of_vectors(values.astype(np.float32))
  for camera in spec.cameras:
    counts = random.integers(1, 100, (3, 256))
    found[f"images/{camera}"] = statistics.of_counts(counts)
  return found


def save(
  workdir: pathlib.Path,
  config: ml_collections.ConfigDict,
  spec: features_lib.Features = FEATURES,
  dataset: Mapping[str, Any] | None = None,
  *,
  state: learner.TrainState | None = None,
  blocks_of: Mapping[str, Any] | None = None,
  step: int = 3,
  context: Mapping[str, Any] | None = None,
  lineage: Sequence[Mapping[str, Any]] = (),
) -> pathlib.Path:
  """Saves a checkpoint as training does; returns its step directory."""
  state = state or random_state(config, spec, step)
  with checkpoint_lib.Checkpoint(workdir / "checkpoints") as checkpoint:
    checkpoint.register("agent", state)
    checkpoint.attach("config.json", json_lib.to_json(config))
    checkpoint.attach("stats.json", dict(blocks_of or blocks(spec)))
    checkpoint.attach("features.json", features_lib.to_json(spec))
    checkpoint.attach("dataset.json", dict(dataset or DATASET))
    if context:
      checkpoint.attach(run_context.NAME, dict(context))
    for entry in lineage:
      checkpoint.descend_from(entry)
    checkpoint.save(step)
    checkpoint.wait()
  return workdir / "checkpoints" / f"{step:09d}"


def random_state(
  config: ml_collections.ConfigDict,
  spec: features_lib.Features,
  step: int,
) -> learner.TrainState:
  """Returns a state in which no leaf is what it is initialised to."""
  shapes = jax.eval_shape(lambda: learner.init_state(config, spec))
  random = np.random.default_rng(0)

  def draw(path: tuple[Any, ...], leaf: Any) -> jax.Array:
    name = jax.tree_util.keystr(path)
    if leaf.dtype == jnp.int32:
      return jnp.full(leaf.shape, step, jnp.int32)
    fan_in = max(int(np.prod(leaf.shape[:-1])), 1)
    values = random.normal(size=leaf.shape) / np.sqrt(fan_in)
    if "variance" in name or ".nu" in name:
      values = np.abs(values) + 0.5
    if "scale" in name and ".params" in name:
      values = values + 1.0
    return jnp.asarray(values, jnp.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)
