"""ACT as large as the paper's on scripted ALOHA insertion.

    scripts/collect_demos.py --task=aloha/insertion --episodes=50 \
      --directory=data/aloha_insertion
    scripts/train.py --config=configs/act/aloha_insertion.py \
      --workdir=runs/aloha_insertion

Promise: none yet, it was not run to the end here; it needs an accelerator,
100 000 steps take days on two cores. The paper reached 32 % (its README: about
50 %)
with 10 000 steps of 8 samples, about 5 hours on an RTX 2080 Ti. Departs from
the paper in: 100 000 steps (LeRobot); a backbone from scratch with group norm
unless --config.model.backbone_weights names ImageNet weights; whole chunks are
executed unless --config.model.temporal_ensemble.
"""

from ml_collections import config_dict

from act import config as act_config


def get_config() -> config_dict.ConfigDict:
  """Returns the paper's configuration for one 480x640 camera."""
  config = act_config.default_config()
  config.environment.name = "aloha/insertion"
  config.dataset.path = "data/aloha_insertion"
  return config
