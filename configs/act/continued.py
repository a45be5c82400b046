"""Goes on from a checkpoint, of an import or of a run, in another workdir.

    scripts/train.py --config=configs/act/continued.py:runs/imported \
      --workdir=runs/more --config.dataset.path=lerobot:data/so101 \
      --config.total_steps=120000

Everything is as the checkpoint has it; parameters, optimizer and the count of
steps are taken over, so that `total_steps` counts those before, too. So are the
statistics, which the weights were trained with. The order of the data begins
anew. Settings that another program had no word for are of `act.config`.
"""

import pathlib

from ml_collections import config_dict

from act import config as act_config
from carnet import checkpoint, errors
from carnet import config as config_lib


def get_config(path: str = "") -> config_dict.ConfigDict:
  """Returns the configuration of the checkpoint at `path`, to go on from it.

  Raises:
    UserError: there is none, or it is not one of ACT.
  """
  if not path:
    raise errors.UserError(
      "name a checkpoint: --config=configs/act/continued.py:runs/imported"
    )
  stored = checkpoint.read_json(pathlib.Path(path), "config.json")
  if stored.get("agent") != "act":
    raise errors.UserError(
      f"{path} is a checkpoint of '{stored.get('agent')}': only ACT goes on so"
    )
  config = config_lib.from_json(stored, act_config.default_config())
  config = config.copy_and_resolve_references().unlock()
  # where its backbone began does not matter any more, and may be gone
  config.model.backbone_weights = ""
  config.normalization.source = "parent"
  config.from_checkpoint = path
  config.from_checkpoint_regex = "agent/.*"
  config.from_checkpoint_exclude = ""
  config.from_checkpoint_rename = ()
  return config.lock()
