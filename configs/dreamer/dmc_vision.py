"""DeepMind Control from 64x64 pixels: dmc_vision of the original.

    scripts/train.py --config=configs/dreamer/dmc_vision.py:walker_walk \
      --workdir=runs/walker_walk_vision

- `walker_walk`, `walker_walk,current`: today's configuration (e3f0224): its
  default networks, 200m, no action repeat, train ratio 256.
- `walker_walk,published`: that of the published curves (April 2024): 12m,
  repeat 2, ratio 512.

Needs OpenGL (EGL) and a GPU; not run here. Promise of `published`, from the
original's ten seeds at 250k frames: walker walk 899, cartpole balance 988.
"""

from ml_collections import config_dict

from configs.dreamer import protocols
from dreamer import config as dreamer_config


def get_config(variant: str = "walker_walk") -> config_dict.ConfigDict:
  """Returns the configuration of "task" or "task,protocol"."""
  task, protocol = protocols.parse(variant, ("current", "published"))
  config = dreamer_config.default_config()
  config.environment.name = f"dmc/{task}"
  config.environment.dmc.pixels = True
  if protocol == "published":
    config.environment.repeat = 2
    config.loop.train_ratio = 512.0
    config.total_steps = 600_000
    dreamer_config.set_size(config, "12m")
  else:
    config.loop.train_ratio = 256.0
    config.total_steps = 1_100_000
    dreamer_config.set_size(config, "200m")
  config.loop.processes = 8  # drawing takes longer than a step of the physics
  config.evaluation.update(every_steps=50_000, video_every_steps=50_000)
  return config
