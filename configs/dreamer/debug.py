"""The whole path in a minute, on CartPole; promises nothing.

    scripts/train.py --config=configs/dreamer/debug.py --workdir=runs/debug

After the original's `debug` block: tiny networks, short sequences.
"""

from ml_collections import config_dict

from dreamer import config as dreamer_config


def get_config(task: str = "gym:CartPole-v1") -> config_dict.ConfigDict:
  """Returns a network of a few thousand parameters for any task."""
  config = dreamer_config.default_config()
  shrink(config)
  config.environment.name = task
  config.total_steps = 1_000
  config.loop.update(environments=2, train_ratio=16.0, updates_per_dispatch=2)
  config.replay.update(capacity=10_000, chunk_size=64)
  config.evaluation.update(every_steps=500, episodes=2)
  config.evaluation.update(video_every_steps=500, video_context=4)
  config.checkpoint.every_steps = 200
  config.log_every_steps = 100
  return config


def shrink(config: config_dict.ConfigDict) -> None:
  """Makes networks and batches as small as they can be."""
  config.rssm.update(deter=16, hidden=8, stoch=4, classes=4, blocks=4)
  for part in ("encoder", "decoder"):
    config[part].update(depth=2, units=8, layers=1)
  config.decoder.bspace = 4
  for part in ("reward", "continuation", "actor", "critic"):
    config[part].update(units=8, layers=1)
  config.reward.bins = config.critic.bins = 41
  config.update(batch_size=2, batch_length=8, imag_length=4)
  config.optimizer.update(lr=1e-3, warmup=10)
