"""Catch from 16x16 pixels, all in one compiled program.

    make dreamer-quickstart
"""

from ml_collections import config_dict

from dreamer import config as dreamer_config


def get_config(variant: str = "") -> config_dict.ConfigDict:
  """Returns the quickstart of DreamerV3."""
  config = dreamer_config.default_config()
  config.environment.name = "catch"
  config.rssm.update(deter=128, hidden=64, stoch=8, classes=8)
  for part in ("encoder", "decoder"):
    config[part].update(depth=4, units=64, layers=1)
  for part in ("reward", "continuation", "actor", "critic"):
    config[part].update(units=64)
  config.actor.layers = config.critic.layers = 2
  config.update(batch_size=16, batch_length=16, imag_length=10, horizon=100)
  config.optimizer.update(lr=3e-4, warmup=100)
  config.replay.update(memory="device", capacity=100_000)
  config.loop.update(
    compiled=True, environments=16, steps_per_dispatch=16, train_ratio=8.0
  )
  config.total_steps = 40_000
  config.log_every_steps = 1024
  return config
