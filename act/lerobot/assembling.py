"""A policy of LeRobot, or of the original ACT, put together in our terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import config_dict

from act import features as features_lib
from act import learner
from act.lerobot import (
  carried,
  chosen_statistics,
  completing,
  declared,
  from_config,
  locating,
  original,
  policy_statistics,
  reading,
  stored_network,
)
from carnet import errors

_TRAIN_CONFIG = "train_config.json"


@dataclasses.dataclass(frozen=True)
class Policy:
  """What becomes a checkpoint.

  Attributes:
    place: where it was found.
    generation: of its files, for people.
    declared: its features, under LeRobot's names.
    config: ours, unlocked, without a simulator and without data.
    statistics: of stats.json.
    statistics_from: for people.
    state: of training, at the step where it stopped.
    written: its config.json; of an original ACT, what it would be.
    trained: its train_config.json, if there is one.
    rename: name in the data -> LeRobot's name in the policy.
    fps: of the data, if any file tells.
    digests: of every file that was read.
    before: what it was before it was exported from here.
    notes: what a person should know, a line each.
  """

  place: locating.Place
  generation: str
  declared: declared.Declared
  config: config_dict.ConfigDict
  statistics: dict[str, dict[str, list[float]]]
  statistics_from: str
  state: learner.TrainState
  written: Mapping[str, Any]
  trained: Mapping[str, Any] | None
  rename: Mapping[str, str]
  fps: float | None
  digests: Mapping[str, str]
  before: carried.Carried
  notes: tuple[str, ...]

  @property
  def features(self) -> features_lib.Features:
    """Names and sizes, ours."""
    return self.declared.features()


@dataclasses.dataclass(frozen=True)
class _Stored:
  """The files of any generation, as if today's had been read."""

  files: reading.Files
  where: str
  generation: str
  written: Mapping[str, Any]
  trained: Mapping[str, Any] | None
  weights_from: str
  weights: Mapping[str, np.ndarray]
  scaling: policy_statistics.Found
  unscaled: frozenset[str]  # keys of `weights` that are no parameters
  reduction: str | None = None  # of the loss, where no file tells
  before: carried.Carried = dataclasses.field(default_factory=carried.Carried)


def of_lerobot(place: locating.Place, statistics: str) -> Policy:
  """Returns a policy of LeRobot, of any generation.

  Args:
    place: of `locating.find`.
    statistics: where the user says that missing statistics are, or "".

  Raises:
    UserError: a file is missing, unsound, or asks for what ACT cannot do.
  """
  files = reading.Files(place.directory)
  where = str(place.directory / locating.CONFIG)
  written = files.json(locating.CONFIG)
  from_config.check_kind(written, where)
  weights = files.tensors(locating.WEIGHTS)
  before = carried.read(files)
  trained = files.json(_TRAIN_CONFIG) if files.has(_TRAIN_CONFIG) else None
  wanted = _declared(written, weights, where)
  weights_from = str(place.directory / locating.WEIGHTS)
  scaling, keys = policy_statistics.of_weights(weights, wanted, weights_from)
  generation = "LeRobot, statistics in the weights (until 0.3)"
  if files.has(policy_statistics.PREPROCESSOR):
    if keys:
      raise errors.UserError(
        f"{place.directory} has statistics in its weights and in "
        f"{policy_statistics.PREPROCESSOR}: which of both hold is not told"
      )
    scaling = policy_statistics.of_processors(files, wanted)
    generation = "LeRobot, with processors (from 0.4)"
  elif not keys:
    generation = "LeRobot, without statistics"
  if "input_shapes" in written:
    generation = "LeRobot of 2024, with config.yaml"
  stored = _Stored(
    files=files,
    where=where,
    generation=generation,
    written=written,
    trained=trained,
    weights_from=weights_from,
    weights=weights,
    scaling=scaling,
    unscaled=keys,
    before=before,
  )
  return _policy(place, stored, wanted, statistics)


def of_original(
  place: locating.Place, statistics: str, asked: original.Asked
) -> Policy:
  """Returns a policy of the original ACT; arguments as of `of_lerobot`.

  Raises:
    UserError: a file is missing, or more than tensors; or the user did not say
      what no file tells.
  """
  files = reading.Files(place.directory)
  where = str(place.directory / place.checkpoint)
  weights = original.renamed(files.torch(place.checkpoint), where)
  written = original.config(weights, asked, where)
  scaling = policy_statistics.Found({}, epsilon=original.EPSILON)
  if not statistics and files.has(locating.ORIGINAL_STATISTICS):
    name = locating.ORIGINAL_STATISTICS
    blocks = completing.of_pickle(files, name)
    scaling = dataclasses.replace(scaling, statistics=blocks, source=name)
  stored = _Stored(
    files=files,
    where=where,
    generation="original ACT",
    written=written,
    trained=None,
    weights_from=where,
    weights=weights,
    scaling=scaling,
    unscaled=frozenset(),
    reduction="all",
  )
  found = _policy(place, stored, declared.of(written, where), statistics)
  original.adjust(found.config)
  return found


def _declared(
  written: Mapping[str, Any], weights: Mapping[str, Any], where: str
) -> declared.Declared:
  """Returns what the network sees: of a state only if it has weights for it."""
  found = declared.of(written, where)
  if "model.encoder_robot_state_input_proj.weight" in weights:
    return found
  unused = (*found.unused, *([found.state] if found.state else ()))
  if found.state == declared.STATE:
    raise errors.UserError(
      f"{where} declares '{found.state}', for which the policy has no weights"
    )
  return dataclasses.replace(found, state="", unused=unused)


def _policy(
  place: locating.Place,
  stored: _Stored,
  wanted: declared.Declared,
  statistics: str,
) -> Policy:
  translated = from_config.translate(
    stored.written,
    stored.trained,
    wanted,
    stored.weights,
    stored.where,
    stored.reduction,
  )
  config, notes = translated.config, list(translated.notes)
  if stored.scaling.modes is not None:
    if dict(stored.scaling.modes) != dict(wanted.modes):
      notes.append("the processors' way of scaling holds, not config.json's")
    wanted = dataclasses.replace(wanted, modes=stored.scaling.modes)
    config.normalization.update(from_config.modes(wanted))
  config.normalization.epsilon = stored.scaling.epsilon
  notes += [f"the network does not see '{name}'" for name in wanted.unused]
  chosen = chosen_statistics.Chosen(
    stored.scaling,
    stored.trained,
    wanted,
    stored.files.directory,
    statistics,
  )
  if chosen.imagenet:
    config.normalization.images = "imagenet"
  config.model.backbone_weights = ""
  params, buffers = stored_network.network(
    config,
    wanted.features(),
    stored.weights,
    stored.unscaled,
    stored.weights_from,
  )
  step, adam, digests, told = stored_network.training(place, config, params)
  return Policy(
    place=place,
    generation=stored.generation,
    declared=wanted,
    config=config,
    statistics=chosen.blocks,
    statistics_from=chosen.source,
    state=learner.TrainState(
      step=jnp.asarray(step, jnp.int32),
      params=jax.tree.map(jnp.asarray, params),
      buffers=jax.tree.map(jnp.asarray, buffers),
      optimizer=jax.tree.map(jnp.asarray, adam),
    ),
    written=stored.written,
    trained=stored.trained,
    rename=stored.scaling.rename,
    fps=chosen.fps,
    digests={**stored.files.digests, **chosen.digests, **digests},
    before=stored.before,
    notes=(*stored.before.notes, *notes, *chosen.notes, *told),
  )
