"""Open loop: recorded observations in, predicted actions against recorded ones.

For policies of robots, which have no simulator. It tells whether a policy has
learnt what its demonstrations show, and finds the usual faults: an output that
hardly moves, or that is no better than holding still. It does not tell whether
the policy succeeds: the errors of a robot feed back, these do not.

Letters: A action, F frames of an episode.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import config_dict

from act import agreement, dataset, observing
from act import config as act_config
from act.recordings import base, metadata
from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import errors, evaluation, progress, rollout
from carnet.checkpoint import directory

_FLAT_FAULT, _HOLDING_FAULT = FAULTS = (
  "hardly moves",
  "worse than holding still",
)
_FLAT = 0.1  # of the recorded spread; below, the output hardly moves


@dataclasses.dataclass(frozen=True)
class Episode:
  """One recorded episode, and what the policy answered to it.

  Attributes:
    number: in the data.
    recorded: actions of the demonstration.
    predicted: actions that would have been executed.
    held: the recorded action before the latest query, repeated.
  """

  number: int
  recorded: Float[np.ndarray, "F A"]
  predicted: Float[np.ndarray, "F A"]
  held: Float[np.ndarray, "F A"]


@dataclasses.dataclass(frozen=True)
class Dimension:
  """One number of the action, over all episodes; errors in its own units.

  Attributes:
    error: mean of |predicted - recorded|.
    holding: the same for holding the action before each query.
    deviation: the standard deviation of what was recorded.
    spread: that of the predictions, as a part of it; 1 where nothing moved.
  """

  name: str
  error: float
  holding: float
  deviation: float
  spread: float

  @property
  def faults(self) -> tuple[str, ...]:
    """Returns what is wrong with it, in words."""
    found = []
    if self.spread < _FLAT:
      found.append(_FLAT_FAULT)
    if self.error > self.holding > 0:
      found.append(_HOLDING_FAULT)
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Report:
  """What was compared; `held_out` episodes were not trained on."""

  checkpoint: pathlib.Path
  data: str
  held_out: bool
  skipped: tuple[base.Skipped, ...]
  episodes: tuple[Episode, ...]
  dimensions: tuple[Dimension, ...]
  results: pathlib.Path


def evaluate(
  loaded: evaluation.Loaded,
  origin: str,
  count: int,
  output: pathlib.Path | None = None,
) -> Report:
  """Compares a policy with recorded episodes and files the results.

  Args:
    loaded: of `act.evaluation.load`.
    origin: recordings to compare with, "" for those of the training, of which
      the held-out episodes count if there are any.
    count: episodes at most.
    output: directory of the results; beside the checkpoint if None.

  Raises:
    UserError: no recordings, or none that fit this policy.
  """
  step = loaded.step_directory
  config = config_lib.from_json(
    checkpoint_lib.read_json(step, "config.json"), act_config.default_config()
  )
  if not origin and not config.dataset.path:
    raise errors.UserError(
      f"{step} has neither a simulator nor data: name recordings to compare "
      "with, --dataset=lerobot:PATH"
    )
  data, held_out = _open(config, origin, step)
  _check_fits(data, checkpoint_lib.read_json(step, "features.json"))
  chosen = (held_out or tuple(range(data.num_episodes)))[:count]
  found = []
  with progress.bar("comparing", len(chosen)) as bar:
    for done, index in enumerate(chosen, 1):
      found.append(play(loaded.policy, config, data, index))
      bar.update(done, f"episode {found[-1].number}")
  names = data.dimensions or tuple(
    f"action {i}" for i in range(data.features.action_size)
  )
  place = evaluation.make_output(step, output, "_open_loop")
  report = Report(
    checkpoint=step,
    data=data.origin,
    held_out=bool(held_out),
    skipped=data.skipped,
    episodes=tuple(found),
    dimensions=measure(found, names),
    results=place / "results.json",
  )
  report.results.write_text(json.dumps(_to_json(report, loaded), indent=1))
  return report


def _open(
  config: config_dict.ConfigDict, origin: str, step: pathlib.Path
) -> tuple[dataset.Dataset, tuple[int, ...]]:
  """Returns the data and which episodes were held out of the training.

  Of other data than those of the training every sound episode counts.
  """
  stored = checkpoint_lib.read_json(step, "dataset.json")
  if origin:
    options = config.dataset.copy_and_resolve_references()
    with options.unlocked():
      options.update(episodes=0, exclude_episodes=())
    other = dataset.open_configured(options, origin, ())
    if not agreement.is_same_content(other, stored):
      return other, ()
  bad = metadata.left_out(stored)
  data = dataset.open_configured(config.dataset, origin or None, bad)
  if not agreement.is_same_data(data, stored):
    raise errors.UserError(
      f"{data.origin} is not what {step} was trained on, so nobody knows what "
      f"was held out: compare with all of it, --dataset={data.origin}"
    )
  fraction = config.dataset.validation_fraction
  return data, dataset.split(data.num_episodes, fraction, config.seed)[1]


def _check_fits(data: dataset.Dataset, stored: dict[str, Any]) -> None:
  sizes = ("action_size", "state_size", "environment_state_size")
  for name in sizes:
    there = getattr(data.features, name)
    if there != stored[name]:
      raise errors.UserError(
        f"the policy has {name} {stored[name]}, {data.origin} has {there}: "
        "name the recordings of its own robot"
      )
  shapes = {camera: list(shape) for camera, shape in data.features.images}
  for camera, shape in stored["images"]:
    if shapes.get(camera) != shape:
      raise errors.UserError(
        f"the policy takes camera '{camera}' of {shape}, {data.origin} has "
        f"{shapes.get(camera)}: name the recordings of its own robot"
      )


def play(
  policy: rollout.Policy,
  config: config_dict.ConfigDict,
  data: dataset.Dataset,
  index: int,
) -> Episode:
  """Returns what the policy answers to episode `index` of `data`."""
  first, length = int(data.first_frames[index]), int(data.lengths[index])
  recorded = data.actions[first : first + length]
  carry, key = policy.init(1), jax.random.key(0)
  predicted, held = [], []
  before = recorded[0]
  for frame in range(length):
    observation = None
    if policy.needs_observation(carry):
      now = np.array([first + frame])
      observation = observing.recorded(config.dataset, data, now)
      before = recorded[max(frame - 1, 0)]
    carry, action = policy.act(carry, observation, key)
    predicted.append(np.asarray(action)[0])
    held.append(before)
  return Episode(
    int(data.episodes[index]),
    recorded,
    np.stack(predicted).astype(np.float32),
    np.stack(held),
  )


def measure(
  episodes: list[Episode], names: tuple[str, ...]
) -> tuple[Dimension, ...]:
  """Returns the errors of each number of the action."""
  recorded, predicted, held = (
    np.concatenate([getattr(x, part) for x in episodes]).astype(np.float64)
    for part in ("recorded", "predicted", "held")
  )
  error = np.abs(predicted - recorded).mean(0)
  holding = np.abs(held - recorded).mean(0)
  deviation, answered = recorded.std(0), predicted.std(0)
  still = deviation == 0
  spread = np.where(still, 1.0, answered / np.where(still, 1.0, deviation))
  return tuple(
    Dimension(name, *(float(x[i]) for x in (error, holding, deviation, spread)))
    for i, name in enumerate(names)
  )


def _to_json(report: Report, loaded: evaluation.Loaded) -> dict[str, Any]:
  held = directory.read_manifest(report.checkpoint)
  return {
    "checkpoint": str(report.checkpoint),
    "step": held.step,
    "tree_sha256": held.tree_sha256,
    "open_loop": True,
    "data": report.data,
    "held_out": report.held_out,
    "skipped": [dataclasses.asdict(x) for x in report.skipped],
    "episodes": [
      {
        "episode": x.number,
        "frames": len(x.recorded),
        "mean_absolute_error": float(np.abs(x.predicted - x.recorded).mean()),
      }
      for x in report.episodes
    ],
    "dimensions": [
      dataclasses.asdict(x) | {"faults": list(x.faults)}
      for x in report.dimensions
    ],
    "execution": loaded.facts["execution"],
  }
