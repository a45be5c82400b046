"""Statistics made whole: from where the user says, checked, in our terms."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from act.lerobot import declared, policy_statistics, reading
from act.recordings import lerobot_info, lerobot_stored_statistics
from carnet import errors, hub
from carnet.passport import shown

_STATS, _EPISODES = "meta/stats.json", "meta/episodes_stats.jsonl"
_INFO = "meta/info.json"
_PATTERNS = ("meta/*",)
# of the original's pickle -> feature, statistic
_PICKLED = {
  f"{theirs}_{name}": (feature, name)
  for theirs, feature in (
    ("qpos", declared.STATE),
    ("action", declared.ACTION),
  )
  for name in ("mean", "std")
}
_LONGEST_NAME, _MOST_OTHERS = 64, 32  # of statistics that no mode needs
_ORDERED = (("min", "max"), ("q01", "q99"), ("q10", "q90"))


@dataclasses.dataclass(frozen=True)
class Elsewhere:
  """Statistics that the user points at.

  Attributes:
    statistics: feature, in the data's names -> name -> numbers.
    fps: of the dataset.
    digests: file -> sha256.
    place: for people.
    features: that the dataset has; None of a pickle, which has no cameras.
  """

  statistics: policy_statistics.Statistics
  fps: float | None
  digests: Mapping[str, str]
  place: str
  features: frozenset[str] | None = None


def elsewhere(asked: str) -> Elsewhere:
  """Returns the statistics of a dataset, here or on the hub, or of a pickle.

  Raises:
    UserError: there are none.
  """
  name = asked.removeprefix("lerobot:")
  path = pathlib.Path(os.path.expanduser(name))
  if not os.path.exists(path) and hub.is_id(name):
    identity, _, revision = name.partition("@")
    fetched = hub.snapshot(identity, "dataset", revision or None, _PATTERNS)
    place = f"{identity}@{fetched.commit}"
    return dataclasses.replace(_of_dataset(fetched.path, asked), place=place)
  if os.path.isfile(path):  # False of names too long, too
    files = reading.Files(path.absolute().parent)
    if path.suffix != ".pkl":
      raise errors.UserError(
        f"--stats={asked}: give the directory of a dataset, or a .pkl of the "
        "original ACT"
      )
    return Elsewhere(of_pickle(files, path.name), None, files.digests, asked)
  if not os.path.isdir(path):
    raise errors.UserError(f"--stats={shown.cut(asked)}: no such directory")
  return _of_dataset(path, asked)


def _of_dataset(path: pathlib.Path, asked: str) -> Elsewhere:
  files = reading.Files(path.absolute())
  told = files.json(_INFO) if files.has(_INFO) else {}
  fps, features = told.get("fps"), told.get("features")
  if files.has(_STATS):
    stored: Any = files.json(_STATS)
  elif files.has(_EPISODES):
    files.note(_EPISODES)
    info = lerobot_info.read(files.directory)
    stored = lerobot_stored_statistics.of_all_episodes(info)
  else:
    raise errors.UserError(f"--stats={asked} has no {_STATS}")
  statistics = _numbers(stored, asked)
  names = features if isinstance(features, Mapping) else {}
  return Elsewhere(
    statistics,
    float(fps) if isinstance(fps, int | float) and fps > 0 else None,
    files.digests,
    asked,
    frozenset((*names, *statistics)),
  )


def of_pickle(
  files: reading.Files, name: str
) -> dict[str, dict[str, np.ndarray]]:
  """Returns state and action of the original's `dataset_stats.pkl`.

  Raises:
    UserError: it is not that.
  """
  stored = files.pickled(name)
  found: dict[str, dict[str, np.ndarray]] = {}
  for key, (feature, statistic) in _PICKLED.items():
    if key not in stored:
      raise errors.UserError(f"{files.directory / name} has no '{key}'")
    found.setdefault(feature, {})[statistic] = stored[key]
  return found


def _numbers(stored: Any, where: str) -> dict[str, dict[str, np.ndarray]]:
  try:
    return {
      feature: {
        name: np.asarray(block[name], np.float64)
        for name in (*policy_statistics.NAMES, *policy_statistics.KEPT)
        if name in block
      }
      for feature, block in stored.items()
    }
  except (TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(
      f"--stats={where}: its statistics are no numbers ({error})"
    ) from error


def missing(
  found: policy_statistics.Statistics, wanted: declared.Declared
) -> list[str]:
  """Returns the features that lack what their scaling needs."""
  return [
    feature
    for feature, kind in wanted.kinds().items()
    if not set(policy_statistics.NEEDED[wanted.modes[kind]])
    <= set(found.get(feature, {}))
  ]


def ours(
  found: policy_statistics.Statistics,
  wanted: declared.Declared,
  where: str,
) -> dict[str, dict[str, list[float]]]:
  """Returns the contents of our stats.json, in single precision.

  What no mode needs is kept as it is, where it is numbers: the next export has
  it again.

  Raises:
    UserError: a number that is needed is missing or cannot be.
  """
  blocks: dict[str, dict[str, list[float]]] = {}
  for feature, kind in wanted.kinds().items():
    needed = policy_statistics.NEEDED[wanted.modes[kind]]
    width = 3 if kind == "VISUAL" else wanted.sizes[feature]
    block = {}
    for name in policy_statistics.NAMES:
      numbers = found.get(feature, {}).get(name)
      place = f"{where}: '{name}' of '{feature}'"
      if numbers is None and name in needed:
        raise errors.UserError(f"{place} is missing")
      if numbers is not None:
        block[name] = _checked(numbers, name, width, place)
    _check_order(block, f"{where}: '{feature}'")
    block |= _others(found.get(feature, {}), width)
    if block:
      blocks[wanted.ours()[feature]] = block
  return blocks


def _checked(
  numbers: np.ndarray, name: str, width: int, place: str
) -> list[float]:
  try:
    flat = np.asarray(numbers, np.float32).reshape(-1)
  except (TypeError, ValueError) as error:
    raise errors.UserError(f"{place} holds no numbers") from error
  if flat.shape != (width,):
    raise errors.UserError(
      f"{place} has {flat.size} numbers instead of {width}"
    )
  if np.isinf(flat).all():
    raise errors.UserError(
      f"{place} is infinite: it was never set, and the policy was saved "
      "without; --stats names a dataset that has it"
    )
  if not np.isfinite(flat).all():
    raise errors.UserError(f"{place} is not finite")
  if name == "std" and (flat < 0).any():
    raise errors.UserError(f"{place} is negative")
  return [float(x) for x in flat]


def _others(
  found: Mapping[str, np.ndarray], width: int
) -> dict[str, list[float]]:
  """Returns the finite statistics of other names: one number, or one each."""
  kept: dict[str, list[float]] = {}
  for name, numbers in found.items():
    is_other = name.isidentifier() and name not in policy_statistics.NAMES
    is_number = np.asarray(numbers).dtype.kind in "iuf"
    if is_other and len(name) <= _LONGEST_NAME and is_number:
      flat = np.asarray(numbers, np.float64).reshape(-1)
      if flat.size in (1, width) and np.isfinite(flat).all():
        kept[name] = [float(x) for x in flat]
  return dict(sorted(kept.items())[:_MOST_OTHERS])


def _check_order(block: Mapping[str, list[float]], place: str) -> None:
  for low, high in _ORDERED:
    pairs = zip(block.get(low, ()), block.get(high, ()), strict=False)
    if any(a > b for a, b in pairs):
      raise errors.UserError(f"{place} has a '{low}' above its '{high}'")


def unite(
  blocks: dict[str, dict[str, list[float]]], wanted: declared.Declared
) -> None:
  """Lets one mode scale state and environment state, as ours does.

  LeRobot leaves the latter as it is unless told: then it gets statistics that
  change nothing.

  Raises:
    UserError: the two are scaled in two ways.
  """
  state, environment = wanted.modes["STATE"], wanted.modes["ENV"]
  if not (wanted.state and wanted.environment_state) or state == environment:
    return
  if environment != "identity":
    raise errors.UserError(
      f"state is scaled by {state}, environment_state by {environment}: one "
      "mode must do for both here"
    )
  size = wanted.sizes[wanted.environment_state]
  neutral = {"mean": 0.0, "std": 1.0}
  for low, high in _ORDERED:
    neutral |= {low: -1.0, high: 1.0}
  blocks["environment_state"] = {
    name: [neutral[name]] * size for name in policy_statistics.NEEDED[state]
  }
