"""Our configuration as LeRobot's config.json.

The fields are those of ACTConfig in LeRobot 0.6.1 (`configs/policies.py`,
`policies/act/configuration_act.py`), in its order. What we do not model has the
value that was imported, or one that runs everywhere.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import config_dict

from act import features as features_lib
from act.recordings import lerobot_plan, naming
from carnet import errors

Json = dict[str, Any]

# names that LeRobot's network looks for
STATE = "observation.state"
ENVIRONMENT_STATE = "observation.environment_state"
ACTION = "action"

MODES = {
  "identity": "IDENTITY",
  "mean_std": "MEAN_STD",
  "imagenet": "MEAN_STD",  # with ImageNet's constants as statistics
  "min_max": "MIN_MAX",
  "quantiles": "QUANTILES",
  "quantile10": "QUANTILE10",
}

# of the imported config.json, which win over the defaults below
_NOT_MODELLED = (
  *("n_obs_steps", "device", "use_amp", "use_peft", "push_to_hub", "repo_id"),
  *("private", "tags", "license", "pretrained_path", "pretrained_revision"),
  "pretrained_backbone_weights",
)


@dataclasses.dataclass(frozen=True)
class Names:
  """Names that LeRobot has for what the policy sees.

  Attributes:
    cameras: ours -> LeRobot's, in the order of the policy.
    renamed: what the data call otherwise than LeRobot's network does.
  """

  cameras: dict[str, str]
  renamed: dict[str, str]


def names(
  features: features_lib.Features,
  config: config_dict.ConfigDict,
  dataset: Mapping[str, Any],
) -> Names:
  """Returns the names of the data, as a LeRobotDataset of them has them.

  Args:
    features: of the policy.
    config: `config.dataset` of the run.
    dataset: of dataset.json.

  Raises:
    UserError: two cameras would have one name.
  """
  stored = dataset.get("names") or {}
  imported = _imported_cameras(dataset)
  cameras: dict[str, str] = {}
  renamed: dict[str, str] = {}

  def rename(name: str, theirs: str) -> None:
    if name != theirs:
      renamed[name] = theirs

  def vector(ours: str) -> str:
    return lerobot_plan.vector_name(stored.get(ours) or ours)

  for camera in features.cameras:
    name = lerobot_plan.camera_name(stored.get(f"images/{camera}") or camera)
    cameras[camera] = imported.get(camera, name)
    if f"images/{camera}" in stored:
      rename(name, cameras[camera])
  if len(set(cameras.values())) < len(cameras):
    raise errors.UserError(
      f"two cameras would have one name to LeRobot ({', '.join(cameras)}): "
      "rename one with config.dataset.rename"
    )
  if features.state_size:
    rename(vector(config.state), STATE)
  if features.environment_state_size:
    environment = config.environment_state or "environment_state"
    rename(vector(environment), ENVIRONMENT_STATE)
  return Names(cameras, renamed)


def _imported_cameras(dataset: Mapping[str, Any]) -> dict[str, str]:
  """Returns ours -> what an imported policy called them."""
  written = (dataset.get("lerobot") or {}).get("config") or {}
  return {
    naming.short(name): name
    for name, feature in (written.get("input_features") or {}).items()
    if feature.get("type") == "VISUAL"
  }


def features(spec: features_lib.Features, chosen: Names) -> tuple[Json, Json]:
  """Returns `input_features` and `output_features`."""
  inputs = {
    chosen.cameras[camera]: {"type": "VISUAL", "shape": [depth, height, width]}
    for camera, (height, width, depth) in spec.images
  }
  if spec.state_size:
    inputs[STATE] = {"type": "STATE", "shape": [spec.state_size]}
  if spec.environment_state_size:
    size = spec.environment_state_size
    inputs[ENVIRONMENT_STATE] = {"type": "ENV", "shape": [size]}
  return inputs, {ACTION: {"type": "ACTION", "shape": [spec.action_size]}}


def normalization(
  spec: features_lib.Features, config: config_dict.ConfigDict
) -> dict[str, str]:
  """Returns `normalization_mapping`; `config` is `config.normalization`."""
  found = {
    "VISUAL": MODES[config.images],
    "STATE": MODES[config.state],
    "ACTION": MODES[config.action],
  }
  if spec.environment_state_size:  # LeRobot's default leaves it as it is
    found["ENV"] = MODES[config.state]
  return found


def convert(
  config: config_dict.ConfigDict,
  spec: features_lib.Features,
  chosen: Names,
  imported: Mapping[str, Any],
) -> Json:
  """Returns the values of config.json.

  Args:
    config: of the run.
    spec: features of the policy.
    chosen: of `names`.
    imported: the config.json that the checkpoint came from, or nothing.
  """
  inputs, outputs = features(spec, chosen)
  model, optimizer = config.model, config.optimizer
  ensembles = model.temporal_ensemble
  found = {
    "type": "act",
    "n_obs_steps": 1,
    "input_features": _ordered(inputs, imported.get("input_features") or {}),
    "output_features": outputs,
    # what every machine has; --policy.device=cuda changes it
    "device": "cpu",
    "use_amp": False,
    "use_peft": False,
    "push_to_hub": False,
    "repo_id": None,
    "private": None,
    "tags": None,
    "license": None,
    "pretrained_path": None,
    "pretrained_revision": None,
    "chunk_size": model.chunk_size,
    "n_action_steps": 1 if ensembles else model.n_action_steps,
    "normalization_mapping": normalization(spec, config.normalization),
    "vision_backbone": _backbone(model, spec),
    # it would be downloaded, and then overwritten
    "pretrained_backbone_weights": None,
    "replace_final_stride_with_dilation": (
      model.replace_final_stride_with_dilation
    ),
    "pre_norm": model.pre_norm,
    "dim_model": model.width,
    "n_heads": model.heads,
    "dim_feedforward": model.feedforward,
    "feedforward_activation": model.activation,
    "n_encoder_layers": model.encoder_layers,
    "n_decoder_layers": model.decoder_layers,
    "use_vae": model.use_vae,
    "latent_dim": model.latent_size,
    "n_vae_encoder_layers": model.vae_encoder_layers,
    "temporal_ensemble_coeff": (
      model.temporal_ensemble_coefficient if ensembles else None
    ),
    "dropout": model.dropout,
    "kl_weight": config.loss.kl_weight,
    "optimizer_lr": optimizer.learning_rate,
    "optimizer_weight_decay": optimizer.weight_decay,
    "optimizer_lr_backbone": optimizer.backbone_learning_rate,
  }
  kept = {key: imported[key] for key in _NOT_MODELLED if key in imported}
  return found | kept


def _backbone(
  model: config_dict.ConfigDict, spec: features_lib.Features
) -> str:
  """Returns one that LeRobot accepts, also where there is nothing to see."""
  return model.backbone if spec.images else "resnet18"


def _ordered(inputs: Json, imported: Iterable[str]) -> Json:
  """Returns the features in the order of the imported file, if it has them.

  Never with another order of cameras: the network was trained with this one.
  """
  if set(imported) != set(inputs):
    return inputs
  found = {name: inputs[name] for name in imported}

  def cameras(of: Json) -> list[str]:
    return [name for name, x in of.items() if x["type"] == "VISUAL"]

  return found if cameras(found) == cameras(inputs) else inputs
