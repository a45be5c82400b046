"""Synthetic problems for DreamerV3: spaces, steps, batches."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from dreamer import config as config_lib
from dreamer import context, learner, rssm, spaces

Tree = dict[str, Any]
WALKER = {"height": (), "orientations": (14,), "velocity": (9,)}
FLAGS = ("is_first", "is_last", "is_terminal")


def problem(case: str) -> tuple[ml_collections.ConfigDict, learner.Spec]:
  """Returns the configuration and spaces of `walker_1m` and the like."""
  kind, size = case.split("_")
  config = config_lib.default_config()
  config_lib.set_size(config, size)
  if kind == "walker":
    observations = {k: spaces.Space(shape) for k, shape in WALKER.items()}
    return config, learner.Spec(observations, {"action": spaces.Space((6,))})
  image = spaces.Space((64, 64, 3), is_image=True)
  discrete = {"action": spaces.Space((), 17)}
  return config, learner.Spec({"image": image}, discrete)


def steps(spec: learner.Spec, leading: tuple[int, ...]) -> Tree:
  """Returns observations, rewards and flags: noise, and no episode ends."""
  random = np.random.default_rng(0)
  found: Tree = {name: np.zeros(leading, bool) for name in FLAGS}
  found["reward"] = random.normal(size=leading).astype(np.float32)
  for name, space in spec.observations.items():
    shape = (*leading, *space.shape)
    if space.is_image:
      found[name] = random.integers(0, 256, shape, np.uint8)
    else:
      found[name] = random.normal(size=shape).astype(np.float32)
  return found


def actions(spec: learner.Spec, leading: tuple[int, ...]) -> Tree:
  """Returns actions: zeros."""
  return {
    name: np.zeros(
      (*leading, *space.shape), np.int32 if space.classes else np.float32
    )
    for name, space in spec.actions.items()
  }


def latent(
  config: ml_collections.ConfigDict, leading: tuple[int, ...]
) -> rssm.Latent:
  """Returns states before an episode."""
  sizes = config.rssm
  return rssm.Latent(
    np.zeros((*leading, sizes.deter), np.float32),
    np.zeros((*leading, sizes.stoch, sizes.classes), np.float32),
  )


def batch_of(
  config: ml_collections.ConfigDict, spec: learner.Spec, found: Tree
) -> Tree:
  """Returns what the loss sees of sequences with context."""
  stored = rssm.Latent(found["deter"], found["stoch"].astype(jnp.float32))
  names = (*spec.observations, *FLAGS, "reward")
  return context.apply(
    config.replay_context,
    {name: found[name] for name in names},
    found["action"],
    stored,
    jnp.zeros(config.batch_size, jnp.int32),
    jax.tree.map(lambda x: x[:, 0], stored),
  )
