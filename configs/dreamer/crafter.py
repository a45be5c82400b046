"""Crafter from 64x64 pixels: crafter of the original.

    scripts/train.py --config=configs/dreamer/crafter.py --workdir=runs/crafter

Today's configuration (e3f0224), which is also that of April 2024: one
environment, train ratio 512, 1.1 million steps, 200m networks. The variant is
another size preset, such as `12m`. A GPU task; not run here. The first version
of the paper reports a return of 11.7 +- 1.9 at a million steps.
"""

from ml_collections import config_dict

from carnet import errors
from dreamer import config as dreamer_config


def get_config(size: str = "200m") -> config_dict.ConfigDict:
  """Returns the configuration with one of the size presets."""
  if size not in dreamer_config.PRESETS:
    raise errors.unknown("size preset", size, dreamer_config.PRESETS)
  config = dreamer_config.default_config()
  dreamer_config.set_size(config, size)
  config.environment.name = "crafter/reward"
  config.total_steps = 1_100_000
  config.loop.update(environments=1, train_ratio=512.0)
  config.evaluation.update(every_steps=100_000, video_every_steps=50_000)
  return config
