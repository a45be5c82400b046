"""Values of a configuration that cannot be meant, found before it runs."""

import math
from typing import Any

from ml_collections import config_dict

from act import learner, model, optimizer
from carnet import errors

_POSITIVE = (
  *("batch_size", "environment.height", "environment.width"),
  *("environment.max_steps", "model.chunk_size", "model.width", "model.heads"),
  *("model.feedforward", "model.encoder_layers", "model.decoder_layers"),
  *("normalization.epsilon", "optimizer.epsilon", "optimizer.clip_norm"),
  *("evaluation.episodes", "evaluation.validation_batches"),
  *("checkpoint.keep_latest", "log_every_steps", "total_steps"),
)
_WITH_VAE = ("model.latent_size", "model.vae_encoder_layers")
_NOT_NEGATIVE = (
  *("seed", "devices", "dataset.episodes", "dataset.workers"),
  *("environment.msaa_samples", "normalization.minimum_std"),
  *("loss.kl_weight", "optimizer.learning_rate", "optimizer.warmup_steps"),
  *("optimizer.backbone_learning_rate", "optimizer.weight_decay"),
  *("evaluation.every_steps", "evaluation.first_seed"),
  *("evaluation.validation_every_steps", "checkpoint.every_steps"),
  *("checkpoint.keep_best", "checkpoint.keep_every_steps"),
  *("augmentation.max_transforms", "checkpoint.every_seconds"),
)
_BELOW_ONE = ("optimizer.beta1", "optimizer.beta2")
_PAIRS = ("brightness", "contrast", "saturation", "hue", "sharpness")


def check(config: config_dict.ConfigDict) -> None:
  """Refuses a configuration that cannot be trained.

  Raises:
    UserError: it names the key and the value.
  """
  _check_finite(config.to_dict(), "config")
  positive = _POSITIVE + (_WITH_VAE if config.model.use_vae else ())
  for key in positive:
    _require(config, key, _get(config, key) > 0, "above 0")
  for key in _NOT_NEGATIVE:
    _require(config, key, _get(config, key) >= 0, "0 or more")
  for key in _BELOW_ONE:
    _require(config, key, 0 <= _get(config, key) < 1, "from 0 to below 1")
  widths = config.model.backbone_widths
  fine = all(type(width) is int and width > 0 for width in widths)
  _require(config, "model.backbone_widths", fine, "integers above 0")
  for name in _PAIRS:
    pair = config.augmentation[name]
    ordered = len(pair) == 2 and pair[0] <= pair[1]
    _require(config, f"augmentation.{name}", ordered, "a range (low, high)")
  cameras = config.dataset.cameras
  once = len(set(cameras)) == len(cameras)
  _require(config, "dataset.cameras", once, "different cameras")
  model.check(config.model)
  optimizer.check(config)
  learner.check_loss(config)


def _get(config: config_dict.ConfigDict, key: str) -> Any:
  node = config
  for part in key.split("."):
    node = node[part]
  return node


def _require(
  config: config_dict.ConfigDict, key: str, fine: bool, what: str
) -> None:
  if not fine:
    raise errors.UserError(f"config.{key}={_get(config, key)}: must be {what}")


def _check_finite(node: Any, path: str) -> None:
  if isinstance(node, dict):
    for key, value in node.items():
      _check_finite(value, f"{path}.{key}")
  elif isinstance(node, tuple):
    for value in node:
      _check_finite(value, path)
  elif isinstance(node, float) and not math.isfinite(node):
    raise errors.UserError(f"{path}={node}: must be finite")
