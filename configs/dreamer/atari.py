"""Atari with sticky actions, 200 million frames: atari of the original.

    scripts/train.py --config=configs/dreamer/atari.py:pong --workdir=runs/pong

- `pong`, `pong,current`: today's configuration (e3f0224): 96x96 gray pictures.
- `pong,published`: pictures of 64x64, as in April 2024.

Both: 200m networks, train ratio 32, all 18 actions, 51 million steps of 4
frames. Needs `pip install 'carnet[atari]'` and a GPU; not run here.
"""

from ml_collections import config_dict

from configs.dreamer import protocols
from dreamer import config as dreamer_config


def get_config(variant: str = "pong") -> config_dict.ConfigDict:
  """Returns the configuration of "game" or "game,protocol"."""
  game, protocol = protocols.parse(variant, ("current", "published"))
  config = dreamer_config.default_config()
  dreamer_config.set_size(config, "200m")
  config.environment.name = f"atari/{game}"
  config.environment.atari.image_size = 96 if protocol == "current" else 64
  config.total_steps = 51_000_000
  config.loop.update(train_ratio=32.0, processes=8)
  config.evaluation.update(every_steps=1_000_000, video_every_steps=500_000)
  return config
