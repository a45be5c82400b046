"""Random changes of training images, on the device.

Every image draws `max_transforms` of the transforms that have a range to draw
from, without repetition, and applies them in the order below; the values are
uniform in their ranges. This is LeRobot's `dataset.image_transforms`, with the
crop in addition. Here an affine transform and a crop are sampled in one go and
bilinearly (LeRobot: nearest neighbour); what comes from outside is black.

Letters: B batch, H, W image.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8
from ml_collections import config_dict

from act import image_transforms, normalize
from carnet import errors

_COLOR = {
  "brightness": (image_transforms.brightness, 1.0),
  "contrast": (image_transforms.contrast, 1.0),
  "saturation": (image_transforms.saturation, 1.0),
  "hue": (image_transforms.hue, 0.0),
  "sharpness": (image_transforms.sharpness, 1.0),
}


def batch(
  batch: Mapping[str, Any], key: Key[Array, ""], config: config_dict.ConfigDict
) -> dict[str, Any]:
  """Returns the batch with each camera's images augmented; see `augment`."""
  images = {
    name: augment(image, jax.random.fold_in(key, index), config)
    for index, (name, image) in enumerate(batch.get("images", {}).items())
  }
  return {**batch, "images": images} if images else dict(batch)


def augment(
  images: UInt8[Array, "B H W 3"] | Float[Array, "B H W 3"],
  key: Key[Array, ""],
  config: config_dict.ConfigDict,
) -> UInt8[Array, "B H W 3"] | Float[Array, "B H W 3"]:
  """Returns float32 images in 0..1, or the very input when nothing can change.

  Consumes the key. UserError for a range that is upside down.
  """
  active = _active(config)
  if not active or config.max_transforms < 1:
    return images
  keys = jax.random.split(key, images.shape[0])
  return jax.vmap(lambda image, k: _augment_one(image, k, config, active))(
    normalize.to_unit(images), keys
  )


def _active(config: config_dict.ConfigDict) -> tuple[str, ...]:
  """Returns the transforms that can change an image, in order."""
  names = []
  for name, (_, neutral) in _COLOR.items():
    low, high = config[name]
    if low > high:
      raise errors.UserError(
        f"config.augmentation.{name}=({low}, {high}): the first is larger"
      )
    if (low, high) != (neutral, neutral):
      names.append(name)
  if config.affine_degrees < 0 or config.affine_translate < 0:
    raise errors.UserError("config.augmentation.affine_*: at least 0")
  if not 0 < config.crop <= 1:
    raise errors.UserError(
      f"config.augmentation.crop={config.crop}: above 0 and at most 1"
    )
  if config.affine_degrees > 0 or config.affine_translate > 0:
    names.append("affine")
  if config.crop < 1:
    names.append("crop")
  return tuple(names)


def _augment_one(
  image: Float[Array, "H W 3"],
  key: Key[Array, ""],
  config: config_dict.ConfigDict,
  active: tuple[str, ...],
) -> Float[Array, "H W 3"]:
  chosen = _choose(jax.random.fold_in(key, 0), active, config.max_transforms)
  for index, (name, (transform, _)) in enumerate(_COLOR.items(), 1):
    if name in active:
      low, high = config[name]
      draw = jax.random.uniform(
        jax.random.fold_in(key, index), minval=low, maxval=high
      )
      image = jnp.where(chosen[name], transform(image, draw), image)
  geometric = [chosen[name] for name in ("affine", "crop") if name in active]
  if geometric:
    moved = _move(image, jax.random.fold_in(key, 99), config, chosen)
    image = jnp.where(jnp.any(jnp.stack(geometric)), moved, image)
  return image


def _choose(
  key: Key[Array, ""], active: tuple[str, ...], count: int
) -> dict[str, Any]:
  """Returns which of the active transforms to apply: `count` of them."""
  order = jax.random.permutation(key, len(active))
  return {name: order[i] < count for i, name in enumerate(active)}


def _move(
  image: Float[Array, "H W 3"],
  key: Key[Array, ""],
  config: config_dict.ConfigDict,
  chosen: dict[str, Any],
) -> Float[Array, "H W 3"]:
  size = np.array(image.shape[:2], np.float32)
  turn, shift, offset = jax.random.split(key, 3)
  affine = jnp.float32(chosen.get("affine", False))
  crop = jnp.float32(chosen.get("crop", False))
  radians = np.deg2rad(config.affine_degrees)
  free = (1.0 - config.crop) / 2.0 * size  # how far the crop may go
  return image_transforms.resample(
    image,
    radians=affine * jax.random.uniform(turn, minval=-radians, maxval=radians),
    shift=affine * config.affine_translate * size * _symmetric(shift),
    scale=1.0 - crop * (1.0 - config.crop),
    offset=crop * free * _symmetric(offset),
  )


def _symmetric(key: Key[Array, ""]) -> Float[Array, "2"]:
  return jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
