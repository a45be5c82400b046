"""Values of a configuration that cannot be meant, found before it runs."""

from ml_collections import config_dict

from act import learner, model, optimizer
from carnet import config_ranges

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
  ranges = config_ranges.Ranges(config)
  ranges.finite()
  ranges.positive(*_POSITIVE, *(_WITH_VAE if config.model.use_vae else ()))
  ranges.not_negative(*_NOT_NEGATIVE)
  for key in _BELOW_ONE:
    ranges.require(key, 0 <= ranges.get(key) < 1, "from 0 to below 1")
  widths = config.model.backbone_widths
  fine = all(type(width) is int and width > 0 for width in widths)
  ranges.require("model.backbone_widths", fine, "integers above 0")
  for name in _PAIRS:
    pair = config.augmentation[name]
    ordered = len(pair) == 2 and pair[0] <= pair[1]
    ranges.require(f"augmentation.{name}", ordered, "a range (low, high)")
  if not config.environment.name:
    ranges.require(
      "evaluation.every_steps",
      config.evaluation.every_steps == 0,
      "0 where config.environment.name is empty: there is no simulator",
    )
  cameras = config.dataset.cameras
  once = len(set(cameras)) == len(cameras)
  ranges.require("dataset.cameras", once, "different cameras")
  model.check(config.model)
  optimizer.check(config)
  learner.check_loss(config)
