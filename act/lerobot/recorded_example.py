"""Observations and what the policy does with them, to be checked elsewhere.

scripts/check_in_lerobot.py feeds them to LeRobot, which must do the same.

Letters: T steps of an episode, K chunk, A action, H, W image.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from act import ensembling, model, normalize
from act.lerobot import stored_policy, to_config

NAME = "carnet_example.npz"
STEPS = 3
_PATCH = 16  # pixels of one colour, which compress


def make(
  policy: stored_policy.Policy, chosen: to_config.Names
) -> dict[str, np.ndarray]:
  """Returns inputs and outputs, in the units of the robot.

  "input/<name in the data>"  [T, ...], pictures as uint8 [T, 3, H, W]
  "output/chunk"              [T, K, A], predicted at each step alone
  "output/executed"           [T, A], if the steps are those of one episode
  "output/scale"              [A], what a difference is relative to
  """
  batch = _batch(policy)
  chunks = _predict(policy, batch)
  called = {theirs: name for name, theirs in chosen.renamed.items()}
  found = {
    f"input/{chosen.cameras[camera]}": np.ascontiguousarray(
      image.transpose(0, 3, 1, 2)
    )
    for camera, image in batch["images"].items()
  }
  for key, name in (
    ("state", to_config.STATE),
    ("environment_state", to_config.ENVIRONMENT_STATE),
  ):
    if key in batch:
      found[f"input/{called.get(name, name)}"] = batch[key]
  return found | {
    "output/chunk": chunks,
    "output/executed": _executed(policy.config.model, chunks),
    "output/scale": _scale(policy, chunks),
  }


def _scale(
  policy: stored_policy.Policy, chunks: Float[np.ndarray, "T K A"]
) -> Float[np.ndarray, " A"]:
  """Returns the size of the actions, and at least that of -1 and 1.

  An action near zero is the difference of larger numbers, mean and deviation,
  and not more precise than they are.
  """
  ones = np.ones(policy.features.action_size, np.float32)
  ends = normalize.actions_inverse(
    jnp.stack([-ones, ones]), policy.statistics, policy.config.normalization
  )
  return np.maximum(
    np.abs(chunks).max(axis=(0, 1)), np.abs(np.asarray(ends)).max(axis=0)
  )


def _batch(policy: stored_policy.Policy) -> dict[str, Any]:
  random, spec = np.random.default_rng(0), policy.features

  def picture(height: int, width: int, channels: int) -> np.ndarray:
    rows, columns = math.ceil(height / _PATCH), math.ceil(width / _PATCH)
    patches = random.integers(0, 256, (STEPS, rows, columns, channels))
    large = patches.repeat(_PATCH, axis=1).repeat(_PATCH, axis=2)
    return large[:, :height, :width].astype(np.uint8)

  found: dict[str, Any] = {
    "images": {camera: picture(*shape) for camera, shape in spec.images}
  }
  for key, size in (
    ("state", spec.state_size),
    ("environment_state", spec.environment_state_size),
  ):
    if size:
      noise = random.normal(size=(STEPS, size))
      found[key] = _scaled(noise, policy.statistics.get(key, {}))
  return found


def _scaled(
  noise: Float[np.ndarray, "T D"], block: Mapping[str, Any]
) -> Float[np.ndarray, "T D"]:
  """Returns values as the data have them, if these were measured."""
  if "mean" in block and "std" in block:
    noise = np.asarray(block["mean"]) + np.asarray(block["std"]) * noise
  elif "min" in block and "max" in block:
    low, high = np.asarray(block["min"]), np.asarray(block["max"])
    noise = low + (high - low) * (np.tanh(noise) + 1.0) / 2.0
  return noise.astype(np.float32)


def _predict(
  policy: stored_policy.Policy, batch: dict[str, Any]
) -> Float[np.ndarray, "T K A"]:
  """Returns chunks, computed in float32 on any device."""
  config, spec = policy.config, policy.features

  @jax.jit
  def run(params: Any, buffers: Any, batch: dict[str, Any]) -> jax.Array:
    graph = nnx.graphdef(model.abstract(config.model, spec))
    network = nnx.merge(graph, params, buffers)
    normalised = normalize.batch(batch, policy.statistics, config.normalization)
    return normalize.actions_inverse(
      network(normalised, train=False).actions,
      policy.statistics,
      config.normalization,
    )

  with jax.default_matmul_precision("highest"):
    return np.asarray(run(policy.params, policy.buffers, batch))


def _executed(
  config: Any, chunks: Float[np.ndarray, "T K A"]
) -> Float[np.ndarray, "T A"]:
  if not config.temporal_ensemble:
    every = config.n_action_steps
    return np.stack(
      [chunks[step - step % every, step % every] for step in range(STEPS)]
    )
  state = ensembling.init(1, *chunks.shape[1:])
  actions = []
  for chunk in chunks:
    state, action = ensembling.update(
      state, chunk[None], config.temporal_ensemble_coefficient
    )
    actions.append(np.asarray(action)[0])
  return np.stack(actions)
