"""ACT as LeRobot trains it, on recordings of a robot.

    scripts/train.py --config=configs/act/lerobot.py --workdir=runs/so101 \
      --config.dataset.path=lerobot:data/so101

Every camera of the data and `observation.state` go in; there is no simulator,
so the best checkpoint is the one with the least error on held-out episodes.
The backbone starts from the ImageNet weights that LeRobot starts from: where
LeRobot ran on this machine, torchvision left them in the place named below.
`configs/act/lerobot.py:scratch` does without them, with group norm, which
LeRobot does not have: such a policy cannot be exported to it.

Departs from LeRobot in: one episode in ten is held out; joints that hardly move
are not amplified (`normalization.minimum_std`); saves every 5,000 steps.

Promise: LeRobot's numbers for the same weights and batch (tests/act), no
success rate, since the robot is yours. Takes an accelerator; on two CPU cores
5 s a step.
"""

from ml_collections import config_dict

from act import config as act_config
from carnet import errors

_WEIGHTS = "~/.cache/torch/hub/checkpoints/resnet18-f37072fd.pth"
_VARIANTS = ("", "scratch")


def get_config(variant: str = "") -> config_dict.ConfigDict:
  """Returns the configuration; "scratch" needs no ImageNet weights."""
  if variant not in _VARIANTS:
    raise errors.unknown("variant", variant, _VARIANTS)
  config = act_config.default_config()
  config.environment.update(name="", cameras=())
  config.dataset.update(
    cameras=("*",),
    state="state",
    validation_fraction=0.1,
  )
  if variant != "scratch":
    config.model.update(backbone_norm="frozen", backbone_weights=_WEIGHTS)
  config.evaluation.every_steps = 0
  return config
