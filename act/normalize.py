"""Normalisation of observations and actions, on the device.

    mean_std    (x - mean) / (max(std, minimum_std) + epsilon)
    min_max     2 (x - min) / (max - min) - 1, likewise
    quantiles   with q01 and q99, quantile10 with q10 and q90 for min and max
    identity    x
    imagenet    mean_std with ImageNet's constants, images only

A range of zero is replaced by epsilon. Formulas and the inverse, which leaves
epsilon out, are LeRobot's (`processor/normalize_processor.py`); the floor of
the standard deviation is the original's, and 0 switches it off. A feature
without statistics is an error; LeRobot passes it through.

Letters: B batch, K chunk, A action, H, W image.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import config_dict

from carnet import errors

Statistics = Mapping[str, Mapping[str, Any]]

_RANGES = {
  "min_max": ("min", "max"),
  "quantiles": ("q01", "q99"),
  "quantile10": ("q10", "q90"),
}
MODES = ("identity", "mean_std", *_RANGES)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def batch(
  batch: Mapping[str, Any],
  statistics: Statistics,
  config: config_dict.ConfigDict,
) -> dict[str, Any]:
  """Returns the batch with images [B, H, W, 3], state, actions normalised.

  uint8 images are divided by 255 first; float images are in 0..1 already.
  Other entries stay. UserError for a feature without finite statistics.
  """
  out = dict(batch)
  if "images" in batch:
    out["images"] = {
      name: _forward(
        to_unit(image), f"images/{name}", statistics, config.images, config
      )
      for name, image in batch["images"].items()
    }
  modes = {
    "state": ("state", config.state),
    "environment_state": ("environment_state", config.state),
    "actions": ("action", config.action),
  }
  for key, (feature, mode) in modes.items():
    if key in batch:
      out[key] = _forward(batch[key], feature, statistics, mode, config)
  return out


def actions_inverse(
  actions: Float[Array, "*B A"],
  statistics: Statistics,
  config: config_dict.ConfigDict,
) -> Float[Array, "*B A"]:
  """Returns network actions in the units of the data; UserError as `batch`."""
  found = _offset_and_scale("action", statistics, config.action, config)
  if found is None:
    return actions
  offset, scale = found
  if config.action in _RANGES:
    actions = (actions + 1.0) / 2.0
  return actions * _fit(scale, actions) + _fit(offset, actions)


def to_unit(image: Any) -> jax.Array:
  """Returns a uint8 image as float32 in 0..1, a float image as float32."""
  image = jnp.asarray(image)
  if image.dtype == jnp.uint8:
    return image.astype(jnp.float32) / 255.0
  return image.astype(jnp.float32)


def _forward(
  x: Any,
  feature: str,
  statistics: Statistics,
  mode: str,
  config: config_dict.ConfigDict,
) -> jax.Array:
  x = jnp.asarray(x, jnp.float32)
  found = _offset_and_scale(feature, statistics, mode, config)
  if found is None:
    return x
  offset, scale = found
  centred = x - _fit(offset, x)
  if mode in _RANGES:
    return 2.0 * centred / _fit(scale, x) - 1.0
  return centred / _fit(scale + np.float32(config.epsilon), x)


def _offset_and_scale(
  feature: str,
  statistics: Statistics,
  mode: str,
  config: config_dict.ConfigDict,
) -> tuple[np.ndarray, np.ndarray] | None:
  """Returns what to subtract and divide by; None is the identity."""
  if mode == "identity":
    return None
  if mode == "imagenet" and feature.startswith("images/"):
    return _numbers(IMAGENET, "mean", feature), _numbers(
      IMAGENET, "std", feature
    )
  if mode not in MODES:
    known = (*MODES, "imagenet") if feature.startswith("images/") else MODES
    raise errors.unknown(f"normalization of '{feature}'", mode, known)
  if feature not in statistics:
    raise errors.UserError(
      f"no statistics of '{feature}' for normalization '{mode}' "
      f"(there are: {', '.join(sorted(statistics)) or 'none'})"
    )
  block = statistics[feature]
  if mode == "mean_std":
    std = _numbers(block, "std", feature)
    floor = np.float32(config.minimum_std)
    return _numbers(block, "mean", feature), np.maximum(std, floor)
  low_name, high_name = _RANGES[mode]
  low = _numbers(block, low_name, feature)
  width = _numbers(block, high_name, feature) - low
  return low, np.where(width == 0, np.float32(config.epsilon), width)


def _numbers(block: Mapping[str, Any], name: str, feature: str) -> np.ndarray:
  if name not in block:
    raise errors.UserError(f"statistics of '{feature}' lack '{name}'")
  numbers = np.asarray(block[name], np.float32)
  if not np.all(np.isfinite(numbers)):
    raise errors.UserError(
      f"statistics of '{feature}' hold a '{name}' that is not finite"
    )
  return numbers


def _fit(numbers: np.ndarray, x: jax.Array) -> jax.Array:
  # explicit, because the tests forbid implicit rank promotion
  return jnp.asarray(numbers.reshape((1,) * (x.ndim - 1) + (-1,)))
