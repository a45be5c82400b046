"""A run of seconds on the `tiny_dataset` of conftest.py."""

from ml_collections import config_dict

from act import config as act_config


def get_config() -> config_dict.ConfigDict:
  """Returns a network of a few thousand parameters; the path is to be set."""
  config = act_config.default_config()
  config.total_steps = 10
  config.batch_size = 4
  config.environment.update(
    name="fake/numbers", height=32, width=32, renderer="raycast"
  )
  config.model.update(
    chunk_size=6,
    width=16,
    heads=2,
    feedforward=32,
    encoder_layers=1,
    use_vae=True,
    latent_size=4,
    vae_encoder_layers=1,
    backbone="small",
    backbone_widths=(4, 8, 8, 8),
    n_action_steps=3,
  )
  config.dataset.validation_fraction = 0.34
  config.optimizer.learning_rate = 1e-3
  config.evaluation.update(
    every_steps=0, validation_every_steps=5, validation_batches=2
  )
  config.checkpoint.every_steps = 2
  config.log_every_steps = 1
  return config
