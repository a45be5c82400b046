"""From LeRobot's config.json and train_config.json to a configuration of ours.

`_MODEL` and the like are the whole map; a field in none of these tables is
refused, unless it is off, which may change nothing.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from act import config as act_config
from act import config_check
from act.lerobot import augmentations, declared
from carnet import config as config_lib
from carnet import errors
from carnet.passport import shown

# of config.json -> of ours
_MODEL = {
  "chunk_size": "chunk_size",
  "n_action_steps": "n_action_steps",
  "dim_model": "width",
  "n_heads": "heads",
  "dim_feedforward": "feedforward",
  "feedforward_activation": "activation",
  "dropout": "dropout",
  "pre_norm": "pre_norm",
  "n_encoder_layers": "encoder_layers",
  "n_decoder_layers": "decoder_layers",
  "use_vae": "use_vae",
  "latent_dim": "latent_size",
  "n_vae_encoder_layers": "vae_encoder_layers",
  "vision_backbone": "backbone",
}
_OPTIMIZER = {
  "optimizer_lr": "learning_rate",
  "optimizer_lr_backbone": "backbone_learning_rate",
  "optimizer_weight_decay": "weight_decay",
}
# of train_config.json's optimizer
_TRAINED = {"lr": "learning_rate", "weight_decay": "weight_decay"}
_HANDLED = frozenset(
  {
    *("type", "n_obs_steps", "normalization_mapping", "kl_weight"),
    *(
      "input_features",
      "output_features",
      "replace_final_stride_with_dilation",
    ),
    *("input_shapes", "output_shapes", "input_normalization_modes"),
    *("output_normalization_modes", "temporal_ensemble_coeff"),
  }
)
# where it ran, who may have it, and where its backbone began
_HARMLESS = frozenset(
  {
    *(
      "device",
      "use_amp",
      "use_peft",
      "push_to_hub",
      "repo_id",
      "private",
      "tags",
    ),
    *("license", "pretrained_path", "pretrained_revision"),
    "pretrained_backbone_weights",
  }
)
_COUNTS = {"batch_size": "batch_size", "steps": "total_steps", "seed": "seed"}
_LARGEST = 2**31 - 1
NEVER_CLIPS = 1e12  # a norm that no gradient has

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Translated:
  """A configuration of ours, without a simulator and without data.

  Attributes:
    config: unlocked.
    notes: what a person should know, a line each.
  """

  config: config_dict.ConfigDict
  notes: tuple[str, ...]


def check_kind(config: Json, where: str) -> None:
  """Raises UserError unless this is the configuration of an ACT."""
  hydra = "input_shapes" in config and "n_vae_encoder_layers" in config
  kind = config.get("type", "act" if hydra else None)
  if kind != "act":
    raise errors.UserError(
      f"{where} is of a policy of type {str(kind)[:40]!r}: only 'act' can be "
      "imported"
    )
  if config.get("n_obs_steps", 1) != 1:
    raise errors.UserError(f"{where}: n_obs_steps must be 1")
  if config.get("use_peft"):
    raise errors.UserError(
      f"{where}: use_peft is on: merge the adapter into the policy first"
    )


def translate(
  config: Json,
  trained: Json | None,
  found: declared.Declared,
  weights: Mapping[str, Any],
  where: str,
  reduction: str | None = None,
) -> Translated:
  """Returns what both files say, in our terms.

  Args:
    config: of config.json.
    trained: of train_config.json, None without.
    found: what `config` declares.
    weights: of the policy, which alone tell the widths of the backbone.
    where: what messages call config.json.
    reduction: of the loss, None if the files tell.

  Raises:
    UserError: a field is unknown, or has a value that ACT cannot have.
  """
  notes = _unknown(config, where)
  ours: dict[str, Any] = {
    "model": _model(config, weights, where),
    "normalization": {**modes(found), "minimum_std": 0.0},
    "optimizer": {
      name: config[key] for key, name in _OPTIMIZER.items() if key in config
    },
    "loss": {"kl_weight": config.get("kl_weight", 10.0)},
  }
  told: list[str] = []
  if reduction is None:
    reduction, told = _reduction(config, trained, weights)
  ours["loss"]["reduction"] = reduction
  notes += told + _take_training(ours, trained or {})
  translated = _checked(ours, where)
  return Translated(translated, tuple(notes))


def _checked(ours: Json, where: str) -> config_dict.ConfigDict:
  try:
    config = config_lib.from_json(dict(ours), act_config.default_config())
    config = config.copy_and_resolve_references().unlock()
    config_check.check(config)
  except errors.UserError as error:
    reason = shown.cut(" ".join(str(error).split()), 400)
    raise errors.UserError(f"{where} cannot be taken over: {reason}") from error
  return config


def _unknown(config: Json, where: str) -> list[str]:
  known = {*_MODEL, *_OPTIMIZER, *_HANDLED, *_HARMLESS}
  notes = []
  for key, value in config.items():
    if key in known:
      continue
    if value:
      raise errors.UserError(
        f"{where}: the field '{key[:80]}' is unknown here and is on; if it "
        "does not change what the policy computes, delete it from the file"
      )
    notes.append(f"config.json has '{key[:80]}', unknown here, which is off")
  return notes


def _model(
  config: Json, weights: Mapping[str, Any], where: str
) -> dict[str, Any]:
  model = {name: config[key] for key, name in _MODEL.items() if key in config}
  missing = sorted(_MODEL.keys() - config.keys())
  if missing:
    raise errors.UserError(f"{where}: '{missing[0]}' is missing")
  _check_layers(config, weights, where)
  stages = [f"model.backbone.layer{i}.0.conv1.weight" for i in range(1, 5)]
  if all(key in weights for key in stages):
    model["backbone_widths"] = [len(weights[key]) for key in stages]
  coefficient = config.get("temporal_ensemble_coeff")
  if coefficient is not None:
    model["temporal_ensemble_coefficient"] = coefficient
  return model | {
    "backbone_norm": "frozen",
    "temporal_ensemble": coefficient is not None,
    "replace_final_stride_with_dilation": bool(
      config.get("replace_final_stride_with_dilation")
    ),
  }


def _check_layers(config: Json, weights: Mapping[str, Any], where: str) -> None:
  """Refuses other numbers of layers than there are, before any is made."""
  stacks = {"encoder": "n_encoder_layers", "decoder": "n_decoder_layers"}
  if config["use_vae"]:
    stacks["vae_encoder"] = "n_vae_encoder_layers"
  for stack, key in stacks.items():
    pattern = re.compile(rf"model\.{stack}\.layers\.(\d+)\.")
    matches = filter(None, map(pattern.match, weights))
    count = len({match[1] for match in matches})
    if config[key] != count:
      raise errors.UserError(
        f"{where}: {key} is {config[key]}, the weights have {count}"
      )


def modes(found: declared.Declared) -> dict[str, str]:
  """Returns our modes of normalisation."""
  return {
    "images": found.modes["VISUAL"],
    # of both vectors: see `policy_statistics.unite`
    "state": found.modes["STATE" if found.state else "ENV"],
    "action": found.modes["ACTION"],
  }


def _reduction(
  config: Json, trained: Json | None, weights: Mapping[str, Any]
) -> tuple[str, list[str]]:
  """Returns by what LeRobot divided the loss, and a note where it is open.

  Until 0.5 by all elements, from 0.6 by the unpadded ones; the share of
  held-out episodes is in train_config.json since 0.6.
  """
  if trained is not None and isinstance(trained.get("dataset"), Mapping):
    return ("valid" if "eval_split" in trained["dataset"] else "all"), []
  before = any(key.startswith("unnormalize_outputs.") for key in weights)
  if before or "input_shapes" in config:  # until 0.3
    return "all", []
  return "valid", [
    'no file tells whether LeRobot divided the loss by all elements ("all", '
    'until 0.5) or by the unpadded ones ("valid", from 0.6): "valid" is taken'
  ]


def _take_training(ours: dict[str, Any], trained: Json) -> list[str]:
  """Adds what train_config.json says to our configuration; returns notes."""
  notes: list[str] = []
  for key, name in _COUNTS.items():
    value = trained.get(key)
    if type(value) is int and 0 <= value <= _LARGEST:
      ours[name] = value
  optimizer = trained.get("optimizer")
  if isinstance(optimizer, Mapping):
    notes += _take_optimizer(ours["optimizer"], optimizer)
  if trained.get("scheduler"):
    notes.append("train_config.json has a scheduler: not taken over")
  data = trained.get("dataset")
  share = data.get("eval_split") if isinstance(data, Mapping) else None
  share = share if isinstance(share, float) else 0.0
  ours["dataset"] = {"validation_fraction": share}
  if isinstance(data, Mapping):
    notes += _take_episodes(ours["dataset"], data)
  ours["evaluation"] = {} if share else {"validation_every_steps": 0}
  if isinstance(data, Mapping):
    augmentation, told = augmentations.translate(data.get("image_transforms"))
    ours["augmentation"] = augmentation
    notes += told
  return notes


def _take_episodes(ours: dict[str, Any], data: Json) -> list[str]:
  left_out = data.get("exclude_episodes")
  if isinstance(left_out, list) and all(type(x) is int for x in left_out):
    ours["exclude_episodes"] = left_out
  chosen = data.get("episodes")
  if not isinstance(chosen, list):
    return []
  return [
    f"it was trained on {len(chosen)} chosen episodes (train_config.json): "
    "training that goes on takes all but config.dataset.exclude_episodes"
  ]


def _take_optimizer(ours: dict[str, Any], optimizer: Json) -> list[str]:
  if optimizer.get("type", "adamw") != "adamw":
    kind = str(optimizer["type"])[:40]
    return [f"train_config.json has the optimizer '{kind}': not taken over"]
  for key, name in (*_TRAINED.items(), ("eps", "epsilon")):
    if key in optimizer:
      ours[name] = optimizer[key]
  betas = optimizer.get("betas")
  if isinstance(betas, list) and len(betas) == 2:
    ours["beta1"], ours["beta2"] = betas
  if "grad_clip_norm" in optimizer:  # 0 is none
    ours["clip_norm"] = optimizer["grad_clip_norm"] or NEVER_CLIPS
  return []
