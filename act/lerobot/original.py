"""A policy of the original ACT (github.com/tonyzhaozh/act), as LeRobot's.

Its state dict has other names, six decoder layers that nothing reads, and no
configuration: what the shapes do not tell, its code fixes. Cameras lie side by
side there and one after another here, which is the same function up to the
order of the tokens.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import config_dict

from act import resnet
from act.lerobot import declared, from_config
from carnet import errors

# their beginnings -> LeRobot's
_HEADS = {
  "transformer.encoder.": "encoder.",
  "transformer.decoder.layers.0.": "decoder.layers.0.",
  "transformer.decoder.norm.": "decoder.norm.",
  "encoder.": "vae_encoder.",
  "query_embed.": "decoder_pos_embed.",
  "input_proj.": "encoder_img_feat_input_proj.",
  "backbones.0.0.body.": "backbone.",
  "input_proj_robot_state.": "encoder_robot_state_input_proj.",
  "cls_embed.": "vae_encoder_cls_embed.",
  "encoder_action_proj.": "vae_encoder_action_input_proj.",
  "encoder_joint_proj.": "vae_encoder_robot_state_input_proj.",
  "latent_proj.": "vae_encoder_latent_output_proj.",
  "latent_out_proj.": "encoder_latent_input_proj.",
  "additional_pos_embed.": "encoder_1d_feature_pos_embed.",
  "action_head.": "action_head.",
}
# never in the loss, or never read: tonyzhaozh/act issue 25
_UNUSED = re.compile(
  r"is_pad_head\..*|transformer\.decoder\.layers\.[1-9]\d*\..*"
  r"|.*\.num_batches_tracked"
)

# It adds none to its clipped deviations; ours must be above 0.
EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class Asked:
  """What its files do not tell."""

  cameras: tuple[str, ...]
  height: int
  width: int
  heads: int


def renamed(
  stored: Mapping[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
  """Returns the weights under LeRobot's keys.

  Raises:
    UserError: a tensor has no place in ACT.
  """
  found = {}
  for key, value in stored.items():
    name = key.removeprefix("model.")
    if _UNUSED.fullmatch(name):
      continue
    if name == "pos_table":
      found["model.vae_encoder_pos_enc"] = value
      continue
    for head, ours in _HEADS.items():
      if name.startswith(head):
        found[f"model.{ours}{name.removeprefix(head)}"] = value
        break
    else:
      raise errors.UserError(
        f"{where}: tensor '{key[:120]}' has no place in the original ACT"
      )
  return found


def config(
  weights: Mapping[str, np.ndarray], asked: Asked, where: str
) -> dict[str, Any]:
  """Returns the config.json that LeRobot would have written.

  Args:
    weights: of `renamed`.
    asked: what they do not tell.
    where: what messages call their file.

  Raises:
    UserError: a tensor is missing, or the cameras are not named.
  """
  if not asked.cameras:
    raise errors.UserError(
      f"{where} does not tell its cameras: give --cameras, in their order "
      "(constants.py of the original has it)"
    )

  def shape(name: str, axes: int = 2) -> tuple[int, ...]:
    found = weights.get(f"model.{name}")
    if found is None or found.ndim != axes:
      raise errors.UserError(f"{where}: '{name}' is missing or misshapen")
    return found.shape

  actions, width = shape("action_head.weight")
  state = shape("encoder_robot_state_input_proj.weight")[1]
  cameras = {
    camera: {"type": "VISUAL", "shape": [3, asked.height, asked.width]}
    for camera in asked.cameras
  }
  if len(cameras) != len(asked.cameras):
    raise errors.UserError("--cameras names one camera twice")
  return {
    "type": "act",
    "input_features": {
      **cameras,
      declared.STATE: {"type": "STATE", "shape": [state]},
    },
    "output_features": {"action": {"type": "ACTION", "shape": [actions]}},
    "normalization_mapping": {
      # images by ImageNet's constants, within the policy
      "VISUAL": "IDENTITY",
      "STATE": "MEAN_STD",
      "ACTION": "MEAN_STD",
    },
    "chunk_size": shape("decoder_pos_embed.weight")[0],
    "n_action_steps": shape("decoder_pos_embed.weight")[0],
    "vision_backbone": _backbone(weights, where),
    "dim_model": width,
    "n_heads": asked.heads,
    "dim_feedforward": shape("encoder.layers.0.linear1.weight")[0],
    "feedforward_activation": "relu",
    "n_encoder_layers": _layers(weights, "encoder.layers"),
    "n_decoder_layers": 1,
    "n_vae_encoder_layers": _layers(weights, "vae_encoder.layers"),
    "use_vae": True,
    "latent_dim": shape("encoder_latent_input_proj.weight")[1],
    "pre_norm": "model.encoder.norm.weight" in weights,
    "dropout": 0.1,
    "kl_weight": 10.0,
    "optimizer_lr": 1e-5,
    "optimizer_lr_backbone": 1e-5,
    "optimizer_weight_decay": 1e-4,
  }


def _layers(weights: Mapping[str, Any], stack: str) -> int:
  pattern = re.compile(rf"model\.{re.escape(stack)}\.(\d+)\.")
  return len({m[1] for m in map(pattern.match, weights) if m})


def _backbone(weights: Mapping[str, Any], where: str) -> str:
  """Returns the ResNet that has these blocks."""
  blocks = tuple(
    _layers(weights, f"backbone.layer{stage}") for stage in range(1, 5)
  )
  bottleneck = "model.backbone.layer1.0.conv3.weight" in weights
  for name, kind in resnet.RESNETS.items():
    if kind == (blocks, bottleneck):
      return name
  raise errors.UserError(
    f"{where}: its backbone has {blocks} blocks, which is no ResNet: "
    f"{', '.join(resnet.RESNETS)}"
  )


def adjust(config: config_dict.ConfigDict) -> None:
  """Sets what the original's code does otherwise than LeRobot's."""
  config.normalization.update(images="imagenet", epsilon=EPSILON)
  config.dataset.sampling = "episodes"
  config.optimizer.clip_norm = from_config.NEVER_CLIPS
