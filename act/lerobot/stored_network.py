"""Parameters, step and optimizer of a policy of LeRobot, as our trees."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from flax import nnx
from ml_collections import config_dict

from act import features as features_lib
from act import lerobot_names, model, optimizer
from act.lerobot import locating, optimizer_state, reading
from carnet import errors

_TRAINING_STEP = "training_step.json"
_POSITIONS = "model.vae_encoder_pos_enc"  # recomputed here
_LARGEST_STEP = 2**31 - 1


def network(
  config: config_dict.ConfigDict,
  spec: features_lib.Features,
  weights: Mapping[str, np.ndarray],
  others: Collection[str],
  where: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns parameters and buffers.

  Args:
    config: of the run.
    spec: what the network sees and does.
    weights: under LeRobot's keys.
    others: keys that are no part of the network.
    where: what messages call the file.

  Raises:
    UserError: a tensor is missing, misshapen, not finite or one too many.
  """
  abstract = model.abstract(config.model, spec)
  trees = map(nnx.to_pure_dict, nnx.state(abstract, nnx.Param, ...))
  expected = {_POSITIONS, *others}

  def rename(path: str) -> str:
    expected.add(name := lerobot_names.key(path))
    return name

  params, buffers = (
    lerobot_names.to_tree(weights, tree, where, rename) for tree in trees
  )
  for key in sorted(weights.keys() - expected):
    raise errors.UserError(
      f"{where}: tensor '{key[:120]}' has no place in the network that "
      "config.json describes"
    )
  _check_positions(config, spec, weights, where)
  return params, buffers


def _check_positions(
  config: config_dict.ConfigDict,
  spec: features_lib.Features,
  weights: Mapping[str, np.ndarray],
  where: str,
) -> None:
  """Refuses a table of positions that is not the one of ACT."""
  stored = weights.get(_POSITIONS)
  if stored is None:
    return
  tokens = config.model.chunk_size + (2 if spec.state_size else 1)
  shape = (1, tokens, config.model.width)
  fits = stored.shape == shape and np.allclose(
    stored[0], model.sinusoid_table(tokens, shape[-1]), rtol=0, atol=1e-5
  )
  if not fits:
    raise errors.UserError(
      f"{where}: '{_POSITIONS}' is not the table of {shape} that ACT has"
    )


def training(
  place: locating.Place,
  config: config_dict.ConfigDict,
  params: dict[str, Any],
) -> tuple[int, Any, dict[str, str], list[str]]:
  """Returns step, optimizer, digests of their files, and what to know.

  Raises:
    UserError: a file is unsound, or of another network.
  """
  fresh = "a fresh optimizer: {}, so training would begin with new moments"
  place_of = place.training_state
  if place_of is None:
    reason = "there is no training_state"
    return 0, optimizer.init(config, params), {}, [fresh.format(reason)]
  files = reading.Files(place_of)
  step: Any = 0
  notes: list[str] = []
  if files.has(_TRAINING_STEP):
    step = files.json(_TRAINING_STEP).get("step")
    if type(step) is not int or not 0 <= step <= _LARGEST_STEP:
      raise errors.UserError(f"{place_of / _TRAINING_STEP} has no step")
  if files.has(optimizer_state.STATE):
    for name in (optimizer_state.STATE, optimizer_state.GROUPS):
      files.note(name)
    adam = optimizer_state.read(place_of, params)
  else:
    adam = optimizer.init(config, params)
    notes.append(fresh.format(f"{place_of} has no {optimizer_state.STATE}"))
  digests = {f"{place_of.name}/{n}": x for n, x in files.digests.items()}
  return step, adam, digests, notes
