"""Catch from 16x16 pixels: the quickstart of DreamerV3.

    make dreamer-quickstart

or

    scripts/train.py --config=configs/dreamer/catch.py --workdir=runs/catch

Environment, replay, acting and updates are one compiled program. Promise: a
mean return of 0.9 or more (1 is a catch each time, -0.6 is chance) in at most
10 minutes on two CPU cores; docs/results.md has the seeds.

What differs from the original's numbers is here: small networks, sequences of
16 steps, a 25 times higher learning rate, and so that the policy does not
settle before the world model knows the paddle, a 30 times higher entropy bonus.
Two convolutions instead of four leave 4x4 cells: of the single one that four
leave, the ball's place had to be learnt by its few channels, and was not.
"""

from ml_collections import config_dict

from dreamer import config as dreamer_config


def get_config() -> config_dict.ConfigDict:
  """Returns the quickstart of DreamerV3."""
  config = dreamer_config.default_config()
  config.environment.name = "catch"
  config.rssm.update(deter=128, hidden=64, stoch=8, classes=8)
  for part in ("encoder", "decoder"):
    config[part].update(depth=8, mults=(2, 4), units=64, layers=1)
  for part in ("reward", "continuation", "actor", "critic"):
    config[part].update(units=64)
  config.actor.layers = config.critic.layers = 2
  config.update(batch_size=16, batch_length=16, imag_length=10, horizon=100)
  config.optimizer.update(lr=1e-3, warmup=100)
  config.behavior.actent = 1e-2
  config.replay.update(memory="device", capacity=65_536)
  config.loop.update(
    compiled=True, environments=16, steps_per_dispatch=4, train_ratio=8.0
  )
  config.total_steps = 48_000
  config.log_every_steps = 1024
  config.evaluation.update(
    video_every_steps=16_000, video_context=5, video_sequences=8
  )
  config.checkpoint.every_seconds = 60.0
  return config
