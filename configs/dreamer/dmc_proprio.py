"""DeepMind Control from vectors: dmc_proprio of the original.

    scripts/train.py --config=configs/dreamer/dmc_proprio.py:walker_walk \
      --workdir=runs/walker_walk

The variant is a task, then a protocol if it is not the first:

- `walker_walk`, `walker_walk,current`: today's configuration of the original
  (e3f0224): 1m, no action repeat, train ratio 1024.
- `walker_walk,published`: that of the published curves (April 2024): 12m,
  repeat 2, ratio 512, which is one update for 4 frames. docs/results.md says
  what was reached.
- `walker_walk,small`: the published protocol with the 1m networks, for CPUs.

Promise of `published`, from the original's five seeds at 150k frames: walker
walk 678 (451 to 920), cup catch 954 (928 to 976), cartpole balance 919 (862 to
982).
"""

from ml_collections import config_dict

from configs.dreamer import protocols
from dreamer import config as dreamer_config


def get_config(variant: str = "walker_walk") -> config_dict.ConfigDict:
  """Returns the configuration of "task" or "task,protocol"."""
  task, protocol = protocols.parse(variant, ("current", "published", "small"))
  config = dreamer_config.default_config()
  config.environment.name = f"dmc/{task}"
  config.total_steps = 1_100_000
  config.loop.train_ratio = 1024.0
  dreamer_config.set_size(config, "1m")
  if protocol != "current":
    config.environment.repeat = 2
    config.loop.train_ratio = 512.0
    config.total_steps = 300_000
  if protocol == "published":
    dreamer_config.set_size(config, "12m")
  config.evaluation.every_steps = 25_000
  return config
