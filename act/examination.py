"""ACT under examination: what its passport is measured with.

Source of the frames: episode 0 of the demonstrations it was trained on.
"""

import functools
import math
import pathlib
import re
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from act import agreement, dataset, evaluation, learner, observing
from act import config as act_config
from act import features as features_lib
from act.recordings import metadata, opening
from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import errors, trees
from carnet.envs import base
from carnet.passport import steps
from carnet.passport.dynamic import subject as subject_lib

_NEEDED = "agent/(params|buffers)/.*"
_EPISODE = 0
# Joints that are asked for may lie somewhat beyond those of demonstrations: by
# a part of their range, or by deviations that the outputs are scaled by.
_RANGES, _DEVIATIONS = 0.25, 4.0
_LIMITS = (("min", "max"), ("q01", "q99"), ("q10", "q90"))


def examine(
  directory: pathlib.Path,
  pipeline: tuple[steps.TransformStep, ...],
  dataset_path: pathlib.Path | None,
) -> subject_lib.Subject:
  """Returns the policy of a step directory, ready to be questioned.

  Args:
    directory: a step directory of ours.
    pipeline: of the passport; preprocessing is built from it.
    dataset_path: the demonstrations, if they moved.

  Raises:
    UserError: the checkpoint is unsound, or the data are not those of it.
  """
  config = config_lib.from_json(
    checkpoint_lib.read_json(directory, "config.json"),
    act_config.default_config(),
  )
  spec = features_lib.from_json(
    checkpoint_lib.read_json(directory, "features.json")
  )
  statistics = checkpoint_lib.read_json(directory, "stats.json")
  stored = checkpoint_lib.read(directory, regex=_NEEDED)
  return subject_lib.Subject(
    policy=evaluation.load(directory, pipeline=pipeline).policy,
    entry_point="act.policy:Policy.act",
    expected=_expected(config, spec),
    params=trees.flatten(stored),
    frames=_frames(config, directory, dataset_path),
    calibrate=functools.partial(_calibrate, config, spec, statistics),
    bounds=_bounds(config, _block(statistics, "action")),
    action_statistics=_moments(statistics["action"]),
    recurrent=False,
  )


def _expected(
  config: config_dict.ConfigDict, spec: features_lib.Features
) -> dict[str, tuple[tuple[int, ...], str]]:
  with config.unlocked():
    fresh = config.copy_and_resolve_references()
  fresh.model.backbone_weights = ""  # shapes are the same, the file may be gone
  state = jax.eval_shape(lambda: learner.init_state(fresh, spec))
  leaves = trees.flatten(state, "agent")
  return subject_lib.shapes(
    {path: x for path, x in leaves.items() if re.fullmatch(_NEEDED, path)}
  )


def _frames(
  config: config_dict.ConfigDict,
  directory: pathlib.Path,
  dataset_path: pathlib.Path | None,
) -> Any:
  if dataset_path is None and not opening.present(config.dataset.path):
    return None
  stored = checkpoint_lib.read_json(directory, "dataset.json")
  data = dataset.open_configured(
    config.dataset, dataset_path, metadata.left_out(stored)
  )
  if not _is_unrecorded(stored) and not agreement.is_same_data(data, stored):
    raise errors.UserError(
      f"{data.origin} holds other demonstrations than the policy was trained "
      "on: give --dataset-path"
    )
  return functools.partial(_read, config, data)


def _is_unrecorded(stored: dict[str, Any]) -> bool:
  """Whether another program trained it and did not note which data it had."""
  return bool(stored.get("source", {"revision": ""}).get("revision") is None)


def _read(
  config: config_dict.ConfigDict, data: dataset.Dataset, count: int
) -> subject_lib.Frames:
  first = int(data.first_frames[_EPISODE])
  length = min(count, int(data.lengths[_EPISODE]))
  frames = first + np.arange(length)
  seen = observing.recorded(config.dataset, data, frames)
  rows = [{k: x[i] for k, x in seen.items()} for i in range(length)]
  return subject_lib.Frames(data.identity, _EPISODE, tuple(rows))


def _calibrate(
  config: config_dict.ConfigDict,
  spec: features_lib.Features,
  statistics: dict[str, Any],
  generator: np.random.Generator,
  count: int,
) -> base.Observation:
  """Returns noise: images uniform, states normal about those of the data."""
  made: base.Observation = {
    f"images/{name}": generator.integers(
      0, 256, (count, *shape), dtype=np.uint8
    )
    for name, shape in spec.images
  }
  vectors = {
    config.dataset.state: ("state", spec.state_size),
    config.dataset.environment_state: (
      "environment_state",
      spec.environment_state_size,
    ),
  }
  for key, (feature, size) in vectors.items():
    if key:
      mean, std = _moments(statistics.get(feature, {})) or (0.0, 1.0)
      drawn = generator.normal(mean, std, (count, size))
      made[key] = drawn.astype(np.float32)
  return made


def _block(statistics: dict[str, Any], feature: str) -> dict[str, Any]:
  """Returns the statistics of a feature; imported ones may lack some."""
  block = statistics.get(feature, {})
  if _moments(block) is None:
    raise errors.UserError(
      f"stats.json has no statistics of '{feature}', which the range of sound "
      "actions follows from: import again with --stats"
    )
  return block


def _moments(block: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
  """Returns mean and standard deviation, or what comes close to them."""
  if "mean" in block and "std" in block:
    return np.asarray(block["mean"]), np.asarray(block["std"])
  for low_name, high_name in _LIMITS:
    if low_name in block and high_name in block:
      low, high = np.asarray(block[low_name]), np.asarray(block[high_name])
      # of numbers that are as likely anywhere in between
      return (low + high) / 2, (high - low) / math.sqrt(12)
  return None


def _bounds(
  config: config_dict.ConfigDict, block: dict[str, Any]
) -> subject_lib.Bounds:
  """Returns the range in the data, or deviations about the mean, and more."""
  least = _DEVIATIONS * max(config.normalization.minimum_std, 1e-3)
  if "min" in block and "max" in block:
    low, high = np.asarray(block["min"]), np.asarray(block["max"])
  else:
    found = _moments(block)
    assert found is not None
    mean, std = found
    low, high = mean - _DEVIATIONS * std, mean + _DEVIATIONS * std
  margin = np.maximum(_RANGES * (high - low), least)
  return subject_lib.Bounds("action_stats", low - margin, high + margin)
