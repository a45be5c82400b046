"""ALOHA transfer cube from 96x96 pixels in minutes on two CPU cores.

    make quickstart

or, step by step,

    scripts/collect_demos.py --task=aloha/transfer_cube --episodes=200 \
      --height=96 --width=96 --renderer=raycast --directory=data/quickstart
    scripts/train.py --config=configs/act/quickstart.py \
      --workdir=runs/quickstart

A small convolutional backbone from scratch and no VAE, which scripted
demonstrations do not need: a fifth of a CPU-second a step.
"""

from ml_collections import config_dict

from act import config as act_config


def get_config(variant: str = "") -> config_dict.ConfigDict:
  """Returns the quickstart, or its `smoke` variant, which promises nothing."""
  config = act_config.default_config()
  config.total_steps = 2_000
  config.batch_size = 32
  config.environment.update(height=96, width=96, renderer="raycast")
  config.dataset.update(path="data/quickstart", validation_fraction=0.0)
  config.model.update(
    width=128,
    heads=4,
    feedforward=512,
    encoder_layers=2,
    use_vae=False,
    backbone="small",
    backbone_widths=(16, 32, 64, 64),
    n_action_steps=25,
  )
  config.normalization.images = "mean_std"
  config.optimizer.update(
    learning_rate=1e-3,  # 1e-4 gives 2 of 50 successes in the same time
    backbone_learning_rate=1e-3,
    warmup_steps=100,
    schedule="cosine",
  )
  config.evaluation.update(every_steps=0, validation_every_steps=0)
  config.checkpoint.every_steps = 500
  if variant == "smoke":
    config.total_steps = 100
    config.optimizer.warmup_steps = 10
  return config
