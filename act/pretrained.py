"""ImageNet weights of the backbone, from a local file of torchvision's."""

import pathlib
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from act import lerobot_names, torch_file
from carnet import errors


def load(
  path: str, params: dict[str, Any], buffers: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns backbone weights and frozen norms in the shape of the given trees.

  `path` names a .safetensors file, or one of torch.save (.pth, .pt), which is
  read for tensors alone. The classifier (fc) is ignored. UserError, naming file
  and tensor, when one is missing, unexpected, of another shape or not finite.
  """
  place = pathlib.Path(path).expanduser()
  if not place.exists():
    raise errors.UserError(
      f"model.backbone_weights: no such file '{path}': torchvision leaves its "
      "weights in ~/.cache/torch/hub/checkpoints (those of resnet18 once "
      "LeRobot trained there); without any, model.backbone_norm=group trains "
      "from scratch"
    )
  tensors = _read(place)
  expected: set[str] = set()

  def rename(our_path: str) -> str:
    name = lerobot_names.key(f"backbone/{our_path}")
    name = name.removeprefix(lerobot_names.TORCHVISION_PREFIX)
    expected.add(name)
    return name

  loaded = (
    lerobot_names.to_tree(tensors, params, path, rename),
    lerobot_names.to_tree(tensors, buffers, path, rename),
  )
  for name in sorted(tensors.keys() - expected):
    counter = name.endswith(".num_batches_tracked")
    if not counter and not name.startswith("fc."):
      raise errors.UserError(
        f"{path}: tensor '{name}' has no place in the backbone: is "
        "model.backbone the network of this file?"
      )
  return loaded


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
  if path.suffix in (".pth", ".pt"):
    return torch_file.read(path)
  if path.suffix != ".safetensors":
    raise errors.UserError(
      f"{path}: model.backbone_weights must be .safetensors, .pth or .pt"
    )
  try:
    return safetensors.numpy.load_file(path)
  except FileNotFoundError as error:
    raise errors.UserError(f"{path}: no such file") from error
  except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
    raise errors.UserError(f"{path}: cannot be read ({error})") from error
