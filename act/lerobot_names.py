"""LeRobot's names and layouts for the arrays of ACT, and torchvision's.

Our paths ("encoder/layer0/norm1/scale") carry the same weights as the keys of
LeRobot's state dict ("model.encoder.layers.0.norm1.weight"). Torch stores
linear kernels as [out, in] and convolutions as [out, in, h, w], we as [in, out]
and [h, w, in, out].
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from carnet import errors

TORCHVISION_PREFIX = "model.backbone."

# linear here, convolutions of one pixel in torch
_CONVOLUTIONS_1X1 = ("image_projection/kernel",)

# first segments of a path, longest first
_HEADS = {
  "vae_encoder/encoder": "vae_encoder",
  "vae_encoder/summary_token": "vae_encoder_cls_embed.weight",
  "vae_encoder/state_projection": "vae_encoder_robot_state_input_proj",
  "vae_encoder/action_projection": "vae_encoder_action_input_proj",
  "vae_encoder/latent_projection": "vae_encoder_latent_output_proj",
  "latent_projection": "encoder_latent_input_proj",
  "state_projection": "encoder_robot_state_input_proj",
  "environment_state_projection": "encoder_env_state_input_proj",
  "image_projection": "encoder_img_feat_input_proj",
  "vector_position": "encoder_1d_feature_pos_embed.weight",
  "query_position": "decoder_pos_embed.weight",
}

# single segments; those of torchvision differ only below `backbone`
_SEGMENTS = (
  (r"layer(\d+)", r"layers.\1"),
  ("self_attention", "self_attn"),
  ("cross_attention", "multihead_attn"),
  ("input_kernel", "in_proj_weight"),
  ("input_bias", "in_proj_bias"),
  ("output", "out_proj"),
  ("expand", "linear1"),
  ("contract", "linear2"),
  ("kernel|scale", "weight"),
)
_BACKBONE_SEGMENTS = (
  (r"stage(\d+)", r"layer\1"),
  (r"block(\d+)", r"\1"),
  (r"norm(\d+)", r"bn\1"),
  ("conv", "0"),  # of downsample
  ("norm", "1"),
  ("kernel|scale", "weight"),
  ("mean", "running_mean"),
  ("variance", "running_var"),
)


def key(path: str) -> str:
  """Returns LeRobot's key for our `path`, segments joined by "/"."""
  for head, name in _HEADS.items():
    if path == head or path.startswith(head + "/"):
      return _join(name, path[len(head) + 1 :], _SEGMENTS)
  head, _, rest = path.partition("/")
  table = _BACKBONE_SEGMENTS if head == "backbone" else _SEGMENTS
  return _join(head, rest, table)


def _join(head: str, rest: str, table: tuple[tuple[str, str], ...]) -> str:
  names = ["model", head]
  for segment in filter(None, rest.split("/")):
    if segment == "feedforward":  # its two layers lie one level up in torch
      continue
    names.append(_rename(segment, table))
  return ".".join(names)


def _rename(segment: str, table: tuple[tuple[str, str], ...]) -> str:
  for pattern, replacement in table:
    match = re.fullmatch(pattern, segment)
    if match:
      return match.expand(replacement)
  return segment


def from_torch(value: np.ndarray, path: str, ndim: int) -> np.ndarray:
  """Returns torch's `value` in our layout, of `ndim` axes."""
  if not path.endswith("kernel"):
    return value
  if value.ndim == 4 and ndim == 2:  # a 1x1 convolution, linear here
    value = value[:, :, 0, 0]
  return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def to_torch(value: np.ndarray, path: str) -> np.ndarray:
  """Returns our `value` in torch's layout, contiguous: undoes `from_torch`."""
  if path.endswith("kernel"):
    if path in _CONVOLUTIONS_1X1:
      value = value[None, None]
    value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
  return np.ascontiguousarray(value, np.float32).reshape(value.shape)


def to_state_dict(tree: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Returns LeRobot's key -> array in torch's layout: undoes `to_tree`."""
  found = {}
  for tree_path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    path = "/".join(part.key for part in tree_path)
    found[key(path)] = to_torch(np.asarray(leaf), path)
  return found


def to_tree(
  state_dict: Mapping[str, np.ndarray],
  template: dict[str, Any],
  where: str,
  rename: Callable[[str], str] = key,
) -> dict[str, Any]:
  """Returns the arrays of `state_dict` in the structure of `template`.

  `template` holds anything with a shape; `rename` gives the key of a path. Keys
  that no path asks for are left alone. UserError, naming the key and `where` it
  was looked for, when one is missing, has another shape, or is not finite.
  """

  def pick(tree_path: tuple[Any, ...], leaf: Any) -> np.ndarray:
    path = "/".join(part.key for part in tree_path)
    name = rename(path)
    if name not in state_dict:
      raise errors.UserError(f"{where}: tensor '{name}' is missing")
    value = from_torch(state_dict[name], path, len(leaf.shape))
    if value.shape != tuple(leaf.shape):
      raise errors.UserError(
        f"{where}: tensor '{name}' has shape {state_dict[name].shape}, which "
        f"does not fit '{path}' of shape {tuple(leaf.shape)}"
      )
    value = np.ascontiguousarray(value, np.float32)
    if not np.isfinite(value).all():
      raise errors.UserError(f"{where}: tensor '{name}' is not finite")
    return value

  return jax.tree_util.tree_map_with_path(pick, template)
