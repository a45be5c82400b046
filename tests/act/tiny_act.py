"""A network small enough for tests, and a batch for it."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from act import config as config_lib
from act import features

FEATURES = features.Features(
  images=(("top", (32, 32, 3)),), action_size=3, state_size=4
)


def config(**model: Any) -> ml_collections.ConfigDict:
  """Returns a locked configuration with some options of the model changed."""
  tiny = config_lib.default_config()
  tiny.model.update(
    chunk_size=5,
    n_action_steps=5,
    width=16,
    heads=2,
    feedforward=24,
    encoder_layers=1,
    latent_size=4,
    vae_encoder_layers=1,
    backbone="small",
    backbone_widths=(4, 4, 8, 8),
  )
  tiny.model.update(**model)
  tiny.optimizer.learning_rate = 1e-3
  tiny.optimizer.backbone_learning_rate = 1e-3
  return tiny


def batch(
  spec: features.Features = FEATURES, size: int = 4, chunk: int = 5
) -> dict[str, Any]:
  """Returns a normalised batch; sample i has i % 3 padded actions."""
  random = np.random.default_rng(0)

  def normal(*shape: int) -> jax.Array:
    return jnp.asarray(random.normal(size=shape), jnp.float32)

  made: dict[str, Any] = {
    "images": {name: normal(size, *shape) for name, shape in spec.images},
    "actions": normal(size, chunk, spec.action_size),
    "is_pad": jnp.arange(chunk)[None] >= chunk - jnp.arange(size)[:, None] % 3,
  }
  if spec.state_size:
    made["state"] = normal(size, spec.state_size)
  if spec.environment_state_size:
    made["environment_state"] = normal(size, spec.environment_state_size)
  return made


def raw_batch(**kwargs: Any) -> dict[str, Any]:
  """Returns a batch as the dataset gives it: uint8 images."""
  made = batch(**kwargs)
  images = {
    name: np.asarray(jnp.clip(image * 64.0 + 128.0, 0.0, 255.0), np.uint8)
    for name, image in made["images"].items()
  }
  return {**jax.device_get(made), "images": images}


STATISTICS = {
  "state": {"mean": [0.5] * 4, "std": [2.0] * 4},
  "action": {"mean": [-0.5] * 3, "std": [0.5] * 3},
}
