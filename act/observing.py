"""What a policy is shown must be what it was trained on: names, sizes, numbers.

A picture of another size, or a NaN of a loose sensor cable, would be answered
with plausible joint targets.

Letters: N episodes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from ml_collections import config_dict

from act import dataset, features
from carnet import errors
from carnet.passport import pipeline

# steps before the network that leave the size of what they take
_SAME_SIZE = ("scale", "standardize", "to_unit_range")
Shapes = dict[str, tuple[int, ...]]


def shapes(
  config: config_dict.ConfigDict,
  spec: features.Features,
  steps: pipeline.Steps | None,
) -> Shapes:
  """Returns the shape of each observation, [*] without N, where it is known.

  A pipeline that resizes takes pictures of any size.
  """
  pre = [step.op for step in steps or () if step.stage == "pre"]
  if any(op not in _SAME_SIZE for op in pre):
    return {}
  found: Shapes = {f"images/{name}": shape for name, shape in spec.images}
  vectors = (
    (config.dataset.state, spec.state_size),
    (config.dataset.environment_state, spec.environment_state_size),
  )
  return found | {name: (size,) for name, size in vectors if name}


def recorded(
  options: config_dict.ConfigDict,
  data: dataset.Dataset,
  frames: Int[np.ndarray, " N"],
) -> dict[str, np.ndarray]:
  """Returns what a policy would have seen at frames of its data.

  `options` are `config.dataset`, which name the vectors.
  """
  batch = data.batch(frames, 1)
  seen = {f"images/{name}": x for name, x in batch["images"].items()}
  for name, feature in (
    (options.state, "state"),
    (options.environment_state, "environment_state"),
  ):
    if name:
      seen[name] = batch[feature]
  return seen


def select(
  observation: Mapping[str, Any],
  keys: Sequence[str],
  expected: Shapes,
  batch_size: int,
) -> dict[str, Any]:
  """Returns what the policy looks at, of `batch_size` episodes.

  Raises:
    UserError: something is not there, has another shape, or is not finite.
  """
  seen = {}
  for name in keys:
    if name not in observation:
      raise errors.UserError(
        f"the policy takes {', '.join(keys)}; the observation has "
        f"{', '.join(sorted(observation)) or 'nothing'}: '{name}' is missing"
      )
    value = seen[name] = observation[name]
    shape, wanted = np.shape(value), expected.get(name)
    if wanted is not None and shape != (batch_size, *wanted):
      raise errors.UserError(
        f"'{name}' of the observation has shape {list(shape)}, the policy was "
        f"trained on {[batch_size, *wanted]}"
      )
    numbers = np.asarray(value)
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
      raise errors.UserError(
        f"'{name}' of the observation is not finite: look at the sensor"
      )
  return seen
