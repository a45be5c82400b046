"""Our normalisation as LeRobot's processors, with the same numbers.

    mean_std    (x - mean) / (std + eps)        ours: max(std, minimum_std)
    min_max     2 (x - min) / (max - min) - 1   eps for a range of zero
    imagenet    mean_std, ImageNet's constants in the place of statistics

The documents are what LeRobot 0.6.1 writes for ACT (`processor/factory.py`);
`state_file` names the file of a step, whose number is part of the name.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import config_dict

from act import features as features_lib
from act import normalize
from act.lerobot import to_config
from carnet import errors

Json = dict[str, Any]

_NEEDED = {
  "mean_std": ("mean", "std"),
  "min_max": ("min", "max"),
  "quantiles": ("q01", "q99"),
  "quantile10": ("q10", "q90"),
}

PREPROCESSOR = "policy_preprocessor"
POSTPROCESSOR = "policy_postprocessor"
PREPROCESSOR_STATE = f"{PREPROCESSOR}_step_3_normalizer_processor.safetensors"
POSTPROCESSOR_STATE = (
  f"{POSTPROCESSOR}_step_0_unnormalizer_processor.safetensors"
)


def documents(
  written: Mapping[str, Any],
  renamed: Mapping[str, str],
  epsilon: float,
) -> tuple[Json, Json]:
  """Returns the values of both processors' JSON files.

  Args:
    written: of config.json.
    renamed: features of the data that the policy calls otherwise.
    epsilon: of the normalisation.
  """
  mapping = written["normalization_mapping"]
  inputs, outputs = written["input_features"], written["output_features"]
  before = [
    _step("rename_observations_processor", {"rename_map": dict(renamed)}),
    _step("to_batch_processor", {}),
    _step("device_processor", _device(written["device"])),
    {
      **_step(
        "normalizer_processor",
        {"eps": epsilon, "features": inputs | outputs, "norm_map": mapping},
      ),
      "state_file": PREPROCESSOR_STATE,
    },
  ]
  after = [
    {
      **_step(
        "unnormalizer_processor",
        {"eps": epsilon, "features": outputs, "norm_map": mapping},
      ),
      "state_file": POSTPROCESSOR_STATE,
    },
    _step("device_processor", _device("cpu")),
  ]
  return (
    {"name": PREPROCESSOR, "steps": before},
    {"name": POSTPROCESSOR, "steps": after},
  )


def state(
  spec: features_lib.Features,
  chosen: to_config.Names,
  statistics: Mapping[str, Mapping[str, Any]],
  config: config_dict.ConfigDict,
) -> dict[str, np.ndarray]:
  """Returns the tensors of both state files: "<feature>.<statistic>".

  All statistics that there are, as LeRobot does; those of images are [C, 1, 1].

  Args:
    spec: features of the policy.
    chosen: LeRobot's names of them.
    statistics: of stats.json.
    config: `config.normalization`.

  Raises:
    UserError: the mode of a feature needs statistics that are not there.
  """
  modes = {f"images/{c}": config.images for c in spec.cameras}
  theirs = {f"images/{c}": chosen.cameras[c] for c in spec.cameras}
  if spec.state_size:
    modes["state"], theirs["state"] = config.state, to_config.STATE
  if spec.environment_state_size:
    modes["environment_state"] = config.state
    theirs["environment_state"] = to_config.ENVIRONMENT_STATE
  modes["action"], theirs["action"] = config.action, to_config.ACTION
  found = {}
  for feature, name in theirs.items():
    block = _block(feature, modes[feature], statistics, config)
    for statistic, value in block.items():
      is_image = feature.startswith("images/") and value.size == 3
      found[f"{name}.{statistic}"] = (
        value.reshape(3, 1, 1) if is_image else value
      )
  return found


def _block(
  feature: str,
  mode: str,
  statistics: Mapping[str, Mapping[str, Any]],
  config: config_dict.ConfigDict,
) -> dict[str, np.ndarray]:
  stored = {
    name: np.atleast_1d(np.asarray(numbers, np.float32))
    for name, numbers in statistics.get(feature, {}).items()
  }
  if mode == "imagenet":
    stored |= {
      k: np.asarray(x, np.float32) for k, x in normalize.IMAGENET.items()
    }
  if mode == "mean_std" and "std" in stored:
    # LeRobot has no floor, so it is part of the numbers: its inverse
    # multiplies by the same ones, as ours does
    floor = np.float32(config.minimum_std)
    stored["std"] = np.maximum(stored["std"], floor)
  missing = [name for name in _NEEDED.get(mode, ()) if name not in stored]
  if missing:
    raise errors.UserError(
      f"stats.json has no '{missing[0]}' of '{feature}', which its "
      f"normalization '{mode}' needs"
    )
  for name, value in stored.items():
    if not np.isfinite(value).all():
      raise errors.UserError(
        f"statistics of '{feature}' hold a '{name}' that is not finite"
      )
  return stored


def _step(name: str, config: Json) -> Json:
  return {"registry_name": name, "config": config}


def _device(device: str) -> Json:
  return {"device": device, "float_dtype": None}
