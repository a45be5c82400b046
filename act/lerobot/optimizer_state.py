"""AdamW's moments as LeRobot stores them, both ways.

    training_state/optimizer_state.safetensors
        state/<i>/{exp_avg, exp_avg_sq, step}
    training_state/optimizer_param_groups.json
        one entry a group: its options, and "params", the numbers <i> in it

A parameter's number is its place among torch's `named_parameters()`: group 0
has all but the backbone, group 1 the backbone. That is the order in which
LeRobot's `policies/act/modeling_act.py` and torchvision's `models/resnet.py`
make their modules, which no file tells.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax
import safetensors
import safetensors.numpy

from act import lerobot_names
from carnet import errors
from carnet.checkpoint import documents, plain_file

STATE = "optimizer_state.safetensors"
GROUPS = "optimizer_param_groups.json"

# parts of a key, in the order in which their modules are made
_ORDER = (
  # ACT.__init__
  *("vae_encoder", "vae_encoder_cls_embed"),
  *("vae_encoder_robot_state_input_proj", "vae_encoder_action_input_proj"),
  *("vae_encoder_latent_output_proj", "backbone", "encoder", "decoder"),
  *("encoder_robot_state_input_proj", "encoder_env_state_input_proj"),
  *("encoder_latent_input_proj", "encoder_img_feat_input_proj"),
  *("encoder_1d_feature_pos_embed", "decoder_pos_embed", "action_head"),
  # ACTEncoder, ACTDecoder and their layers
  *("layers", "self_attn", "multihead_attn", "linear1", "linear2"),
  *("norm", "norm1", "norm2", "norm3"),
  # MultiheadAttention
  *("in_proj_weight", "in_proj_bias", "out_proj"),
  # ResNet, BasicBlock, Bottleneck; frozen batch norms have no parameters
  *("conv1", "layer1", "layer2", "layer3", "layer4"),
  *("conv2", "conv3", "downsample"),
  *("weight", "bias"),
)
_RANKS = {name: rank for rank, name in enumerate(_ORDER)}

_MOMENTS = {"mu": "exp_avg", "nu": "exp_avg_sq"}
_LARGEST_JSON_BYTES = 1 << 24


def order(keys: Sequence[str]) -> tuple[list[str], list[str]]:
  """Returns the keys of LeRobot's two groups of parameters, in torch's order.

  Args:
    keys: of the state dict ("model.action_head.weight"), without buffers.
  """

  def rank(key: str) -> tuple[int, ...]:
    parts = key.split(".")[1:]
    return tuple(int(x) if x.isdigit() else _RANKS[x] for x in parts)

  ordered = sorted(keys, key=rank)
  backbone = lerobot_names.TORCHVISION_PREFIX
  return (
    [key for key in ordered if not key.startswith(backbone)],
    [key for key in ordered if key.startswith(backbone)],
  )


def read(directory: pathlib.Path, params: Mapping[str, Any]) -> Any:
  """Returns the state that `act.optimizer.init` would have made, as stored.

  Args:
    directory: `training_state` of a checkpoint of LeRobot.
    params: our parameters; anything with a shape does as a leaf.

  Raises:
    UserError: the files are not AdamW's state for these parameters.
  """
  groups = order(list(_keys(params)))
  _check_groups(directory / GROUPS, [len(group) for group in groups])
  where = directory / STATE
  stored = _tensors(where)
  numbers = {key: i for i, key in enumerate([*groups[0], *groups[1]])}
  count = _count(stored, numbers, where)
  moments: dict[str, Any] = {}
  for ours, theirs in _MOMENTS.items():
    if not stored:  # as before the first step
      moments[ours] = jax.tree.map(lambda x: np.zeros(x.shape, "f4"), params)
      continue

    def rename(path: str, theirs: str = theirs) -> str:
      return f"state/{numbers[lerobot_names.key(path)]}/{theirs}"

    moments[ours] = lerobot_names.to_tree(
      stored, dict(params), str(where), rename
    )
  return (
    optax.ScaleByAdamState(count=np.int32(count), **moments),
    optax.EmptyState(),
  )


def write(
  directory: pathlib.Path,
  adam: Mapping[str, Any],
  options: Mapping[str, Any],
  rates: tuple[float, float],
) -> None:
  """Writes both files, which hold the same bits that `read` returns.

  Args:
    directory: an existing `training_state`.
    adam: "mu" and "nu", trees like the parameters, and "count".
    options: the "betas", "eps" and "weight_decay" of both groups.
    rates: the learning rates of the two groups.
  """
  moments = {
    name: lerobot_names.to_state_dict(adam[ours])
    for ours, name in _MOMENTS.items()
  }
  groups = order(list(moments["exp_avg"]))
  step = np.asarray(adam["count"], np.float32)
  tensors = {}
  for i, key in enumerate([*groups[0], *groups[1]]):
    for name, values in moments.items():
      tensors[f"state/{i}/{name}"] = values[key]
    tensors[f"state/{i}/step"] = step
  safetensors.numpy.save_file(tensors, directory / STATE)
  first, described = 0, []
  for rate, group in zip(rates, groups, strict=True):
    numbers = list(range(first, first + len(group)))
    described.append(_group(rate, options, numbers))
    first += len(group)
  (directory / GROUPS).write_bytes(documents.encode(described, GROUPS))


def _group(
  rate: float, options: Mapping[str, Any], numbers: list[int]
) -> dict[str, Any]:
  """Returns all that torch's AdamW keeps of a group; it asks for every key."""
  return {
    "lr": rate,
    "betas": list(options["betas"]),
    "eps": options["eps"],
    "weight_decay": options["weight_decay"],
    "amsgrad": False,
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
    "decoupled_weight_decay": True,
    "params": numbers,
  }


def _keys(params: Mapping[str, Any]) -> list[str]:
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return [
    lerobot_names.key("/".join(part.key for part in path)) for path, _ in leaves
  ]


def _check_groups(path: pathlib.Path, sizes: list[int]) -> None:
  content = plain_file.read(path.resolve(), _LARGEST_JSON_BYTES)
  groups = documents.decode(content, str(path))
  numbers = [
    list(range(sizes[0])),
    list(range(sizes[0], sum(sizes))),
  ]
  try:
    fits = [group["params"] for group in groups] == numbers
    adamw = not any(x["amsgrad"] or x["maximize"] for x in groups)
  except (TypeError, KeyError) as error:
    raise errors.UserError(f"{path} has no groups of AdamW") from error
  if not fits:
    raise errors.UserError(
      f"{path} does not number {sizes[0]} parameters and {sizes[1]} of the "
      "backbone, as this network has: is it another policy's?"
    )
  if not adamw:
    raise errors.UserError(f"{path} asks for amsgrad or maximize: not AdamW")


def _tensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    return safetensors.numpy.load_file(path)
  except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
    raise errors.UserError(f"{path}: cannot be read ({error})") from error


def _count(
  stored: Mapping[str, np.ndarray],
  numbers: Mapping[str, int],
  where: pathlib.Path,
) -> int:
  """Returns how many updates the moments have seen, which all share."""
  known = {
    f"state/{i}/{name}"
    for i in numbers.values()
    for name in (*_MOMENTS.values(), "step")
  }
  for name in stored:
    if name not in known:
      raise errors.UserError(f"{where}: tensor '{name}' has no place in AdamW")
  if not stored:
    return 0
  steps = {
    float(value.reshape(-1)[0])
    for name, value in stored.items()
    if name.endswith("/step") and value.size == 1
  }
  if len(steps) != 1 or not min(steps).is_integer() or min(steps) < 0:
    raise errors.UserError(
      f"{where}: the parameters have seen {sorted(steps)} updates, not all the "
      "same number"
    )
  return int(steps.pop())
