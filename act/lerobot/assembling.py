"""A policy of LeRobot, or of the original ACT, put together in our terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import config_dict

from act import features as features_lib
from act import learner, lerobot_names, model, optimizer
from act.lerobot import (
  completing,
  declared,
  from_config,
  locating,
  optimizer_state,
  original,
  policy_statistics,
  provenance,
  reading,
)
from carnet import errors

_TRAIN_CONFIG = "train_config.json"
_TRAINING_STEP = "training_step.json"
_POSITIONS = "model.vae_encoder_pos_enc"  # recomputed here
_LARGEST_STEP = 2**31 - 1


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
  if files.has(provenance.NAME):  # it was a checkpoint of ours before
    files.note(provenance.NAME)
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
    stored.written, stored.trained, wanted, stored.weights, stored.where
  )
  config, notes = translated.config, list(translated.notes)
  if stored.scaling.modes is not None:
    if dict(stored.scaling.modes) != dict(wanted.modes):
      notes.append("the processors' way of scaling holds, not config.json's")
    wanted = dataclasses.replace(wanted, modes=stored.scaling.modes)
    config.normalization.update(from_config.modes(wanted))
  config.normalization.epsilon = stored.scaling.epsilon
  notes += [f"the network does not see '{name}'" for name in wanted.unused]
  chosen = _Statistics(stored, wanted, statistics)
  if chosen.imagenet:
    config.normalization.images = "imagenet"
  config.model.backbone_weights = ""
  params, buffers = _network(config, wanted.features(), stored)
  step, adam, digests, told = _training(place, config, params)
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
    notes=(*notes, *chosen.notes, *told),
  )


class _Statistics:
  """The checkpoint's own statistics, made whole by what the user points at."""

  def __init__(
    self, stored: _Stored, wanted: declared.Declared, asked: str
  ) -> None:
    self.imagenet, self.source = False, stored.scaling.source
    self.digests: Mapping[str, str] = {}
    self.fps: float | None = None
    self.notes: list[str] = []
    self._stored, self._rename = stored, stored.scaling.rename
    found = dict(stored.scaling.statistics)
    open_features = completing.missing(found, wanted)
    if asked and not open_features:
      raise errors.UserError(
        f"{stored.files.directory} has statistics of its own: leave --stats "
        "away"
      )
    if asked:
      found = self._complete(found, completing.elsewhere(asked), wanted)
      open_features = completing.missing(found, wanted)
    if open_features:
      raise errors.UserError(
        f"{asked or stored.files.directory} lacks statistics of "
        f"{', '.join(open_features)}: --stats names the dataset that the "
        "policy was trained on, or a dataset_stats.pkl"
      )
    where = f"the statistics of {stored.files.directory}"
    self.blocks = completing.ours(found, wanted, where)
    self.imagenet = self.imagenet or _is_imagenet(self.blocks, wanted)
    completing.unite(self.blocks, wanted)

  def _complete(
    self,
    found: dict[str, Mapping[str, np.ndarray]],
    other: completing.Elsewhere,
    wanted: declared.Declared,
  ) -> dict[str, Mapping[str, np.ndarray]]:
    """Returns the statistics with those of a dataset for what is missing."""
    self.source = ", ".join(filter(None, (self.source, other.place)))
    self.digests = {f"stats/{n}": x for n, x in other.digests.items()}
    self.fps = other.fps
    theirs = {ours: name for name, ours in self._rename.items()}
    for feature in completing.missing(found, wanted):
      kind = wanted.kinds()[feature]
      if kind == "VISUAL" and self._by_imagenet(wanted):
        self.imagenet = True
        found[feature] = _imagenet()
        continue
      name = theirs.get(feature, feature)
      block = other.statistics.get(name, other.statistics.get(feature))
      if block is not None:
        found[feature] = block
    return found

  def _by_imagenet(self, wanted: declared.Declared) -> bool:
    """Tells whether LeRobot put ImageNet's numbers in the place of the data's.

    `dataset.use_imagenet_stats` of train_config.json says so; it is on unless
    somebody turned it off.
    """
    if wanted.modes["VISUAL"] != "mean_std":
      return False
    data = (self._stored.trained or {}).get("dataset")
    if isinstance(data, Mapping) and "use_imagenet_stats" in data:
      return bool(data["use_imagenet_stats"])
    if not self.notes:
      self.notes.append(
        "no file tells by which statistics images were scaled: ImageNet's are "
        "taken, LeRobot's default"
      )
    return True


def _is_imagenet(
  blocks: Mapping[str, Mapping[str, list[float]]], wanted: declared.Declared
) -> bool:
  """Tells whether all images are scaled by ImageNet's numbers.

  Training that goes on has to scale them so too, not by the data's.
  """
  if wanted.modes["VISUAL"] != "mean_std":
    return False
  return all(
    blocks[wanted.ours()[camera]][name] == list(map(np.float32, numbers))
    for camera in wanted.cameras
    for name, numbers in _imagenet().items()
  )


def _imagenet() -> dict[str, np.ndarray]:
  return {
    "mean": np.array((0.485, 0.456, 0.406)),
    "std": np.array((0.229, 0.224, 0.225)),
  }


def _network(
  config: config_dict.ConfigDict,
  spec: features_lib.Features,
  stored: _Stored,
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns parameters and buffers; UserError for a tensor too many."""
  abstract = model.abstract(config.model, spec)
  trees = map(nnx.to_pure_dict, nnx.state(abstract, nnx.Param, ...))
  expected = {_POSITIONS, *stored.unscaled}

  def rename(path: str) -> str:
    expected.add(name := lerobot_names.key(path))
    return name

  where = stored.weights_from
  params, buffers = (
    lerobot_names.to_tree(stored.weights, tree, where, rename) for tree in trees
  )
  for key in sorted(stored.weights.keys() - expected):
    raise errors.UserError(
      f"{where}: tensor '{key[:120]}' has no place in the network that "
      "config.json describes"
    )
  _check_positions(config, spec, stored.weights, where)
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


def _training(
  place: locating.Place,
  config: config_dict.ConfigDict,
  params: dict[str, Any],
) -> tuple[int, Any, dict[str, str], list[str]]:
  """Returns step, optimizer, digests of their files, and what to know."""
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
