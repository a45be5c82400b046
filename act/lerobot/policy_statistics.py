"""Statistics of a LeRobot policy, wherever its generation keeps them.

    today       policy_preprocessor.json and policy_postprocessor.json, each
                normaliser with its `state_file`
    until 0.3   buffers among the weights, which carry the features' names with
                "_" for "."; infinity is what was never set
    else        a dataset's meta/stats.json, or the original's pickle

What is missing, or said in two ways, is an error: LeRobot passes such features
through unscaled.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from act.lerobot import declared, reading
from carnet import errors
from carnet.passport import shown

# feature -> name of the statistic -> flat numbers
Statistics = Mapping[str, Mapping[str, np.ndarray]]

PREPROCESSOR = "policy_preprocessor.json"
POSTPROCESSOR = "policy_postprocessor.json"
NAMES = ("mean", "std", "min", "max", "q01", "q10", "q90", "q99")
KEPT = ("q50", "count")  # which LeRobot has too, and no mode needs
NEEDED = {
  "identity": (),
  "mean_std": ("mean", "std"),
  "min_max": ("min", "max"),
  "quantiles": ("q01", "q99"),
  "quantile10": ("q10", "q90"),
}
_RENAME, _NORMALIZER = "rename_observations_processor", "normalizer_processor"
_UNNORMALIZER = "unnormalizer_processor"
# that change no number
_PLAIN = ("to_batch_processor", "device_processor")
# of device_processor's float_dtype; others would round the numbers
_SINGLE = (None, "float32", "float")
_BUFFER = re.compile(
  r"(normalize_inputs|normalize_targets|unnormalize_outputs)\."
  r"(?:(.+)_)?buffer_(.+)\.([a-z0-9]+)"
)
EPSILON = 1e-8


@dataclasses.dataclass(frozen=True)
class Found:
  """What a checkpoint tells of its scaling.

  Attributes:
    statistics: of the features that the checkpoint has some of.
    epsilon: added to every standard deviation.
    modes: as `declared.Declared.modes`, None where config.json decides.
    rename: name in the data -> name in the policy.
    source: for people.
  """

  statistics: Statistics
  epsilon: float = EPSILON
  modes: Mapping[str, str] | None = None
  rename: Mapping[str, str] = dataclasses.field(default_factory=dict)
  source: str = ""


def of_processors(files: reading.Files, wanted: declared.Declared) -> Found:
  """Returns what the processor files of today's checkpoints hold.

  Raises:
    UserError: they do something else than to rename and to scale, do not scale
      a feature, or contradict each other.
  """
  before = _steps(files, PREPROCESSOR, (_RENAME, *_PLAIN, _NORMALIZER))
  _check_order(before, str(files.directory / PREPROCESSOR))
  after = _steps(files, POSTPROCESSOR, (_UNNORMALIZER, *_PLAIN))
  into = _Normalizer(files, PREPROCESSOR, before, _NORMALIZER)
  out = _Normalizer(files, POSTPROCESSOR, after, _UNNORMALIZER)
  into.check_features(wanted.kinds())
  out.check_features({declared.ACTION: "ACTION"})
  where = f"{files.directory}: {PREPROCESSOR} and {POSTPROCESSOR}"
  if into.modes["ACTION"] != out.modes["ACTION"] or into.epsilon != out.epsilon:
    raise errors.UserError(f"{where} do not scale actions alike")
  shared = _agreed((into.statistics, out.statistics), where)
  return Found(
    statistics=shared,
    epsilon=into.epsilon,
    modes=into.modes,
    rename=_rename_map(before, str(files.directory / PREPROCESSOR)),
    source=f"{into.state_file or 'none'} and {out.state_file or 'none'}",
  )


class _Normalizer:
  """The one step of a pipeline that scales."""

  def __init__(
    self,
    files: reading.Files,
    name: str,
    steps: list[dict[str, Any]],
    kind: str,
  ) -> None:
    self._where = str(files.directory / name)
    found = [step for step in steps if step["registry_name"] == kind]
    if len(found) != 1:
      raise errors.UserError(f"{self._where} has {len(found)} steps {kind}")
    config = found[0].get("config") or {}
    try:
      modes = dict(config["norm_map"])
      self.features = {n: str(x["type"]) for n, x in config["features"].items()}
      self.epsilon = float(config.get("eps", EPSILON))
      only = config.get("normalize_observation_keys")
      self._only = None if only is None else set(only)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
      raise errors.UserError(
        f"{self._where}: {kind} is not as LeRobot writes it: "
        f"{shown.cut(repr(error))}"
      ) from error
    declared.check_modes(modes, self._where)
    self.modes = {
      kind: declared.MODES[modes.get(kind, "IDENTITY")]
      for kind in ("VISUAL", "STATE", "ENV", "ACTION")
    }
    self.state_file = found[0].get("state_file")
    self.statistics: Statistics = {}
    if self.state_file is not None:
      self.statistics = _split(files.tensors(_plain_name(self.state_file)))

  def check_features(self, kinds: Mapping[str, str]) -> None:
    """Refuses a feature that LeRobot would pass through."""
    for name, kind in kinds.items():
      if self.modes[kind] == "identity":
        continue
      skipped = self._only is not None and kind != "ACTION"
      if self.features.get(name) != kind or (
        skipped and name not in (self._only or ())
      ):
        raise errors.UserError(
          f"{self._where} does not scale '{name}', which config.json declares "
          f"as {kind}"
        )


def of_weights(
  weights: Mapping[str, np.ndarray], wanted: declared.Declared, where: str
) -> tuple[Found, frozenset[str]]:
  """Returns what buffers among the weights hold, and their keys.

  Raises:
    UserError: there are several datasets' of a feature, or two disagree.
  """
  parts: dict[str, dict[str, dict[str, np.ndarray]]] = {}
  datasets: dict[str, str] = {}
  for key in weights:
    if match := _BUFFER.fullmatch(key):
      group, dataset, mangled, name = match.groups()
      if dataset:
        datasets[dataset] = key
      block = parts.setdefault(group, {}).setdefault(mangled, {})
      block[name] = weights[key]
  if datasets:
    raise errors.UserError(
      f"{where} has statistics of {len(datasets)} datasets "
      f"({', '.join(sorted(datasets))[:400]}), and which of them a policy is "
      "fed with is not told: LeRobot can export one of them alone"
    )
  names = _mangled(wanted, where)
  groups = [
    {
      names[mangled]: block
      for mangled, block in group.items()
      if mangled in names
    }
    for group in parts.values()
  ]
  keys = frozenset(key for key in weights if _BUFFER.fullmatch(key))
  agreed = _agreed(groups, f"{where}: its normalisation buffers")
  return Found(agreed, source="buffers among the weights" if keys else ""), keys


def _mangled(wanted: declared.Declared, where: str) -> dict[str, str]:
  """Returns the feature behind each name of a buffer."""
  names: dict[str, str] = {}
  for name in wanted.kinds():
    mangled = name.replace(".", "_")
    if mangled in names:
      raise errors.UserError(
        f"{where}: the statistics of '{names[mangled]}' and of '{name}' have "
        "one name"
      )
    names[mangled] = name
  return names


def _agreed(groups: Iterable[Statistics], where: str) -> Statistics:
  """Returns all statistics; UserError where two of them differ."""
  found: dict[str, dict[str, np.ndarray]] = {}
  for group in groups:
    for feature, block in group.items():
      for name, numbers in block.items():
        known = found.setdefault(feature, {}).setdefault(name, numbers)
        same = np.array_equal(known, numbers, equal_nan=True)
        if name in NAMES and not same:
          raise errors.UserError(
            f"{where} disagree on the '{name}' of '{feature}': which of both "
            "the policy was trained with is not told"
          )
  return found


def _split(tensors: Mapping[str, np.ndarray]) -> Statistics:
  found: dict[str, dict[str, np.ndarray]] = {}
  for key, numbers in tensors.items():
    feature, _, name = key.rpartition(".")
    found.setdefault(feature, {})[name] = numbers
  return found


def _steps(
  files: reading.Files, name: str, known: tuple[str, ...]
) -> list[dict[str, Any]]:
  where = files.directory / name
  steps = files.json(name).get("steps")
  if not isinstance(steps, list) or not all(
    isinstance(step, dict) for step in steps
  ):
    raise errors.UserError(f"{where} has no list of steps")
  for step in steps:
    kind = step.get("registry_name")
    if kind not in known:
      named = shown.cut(kind or step.get("class"), 80)
      raise errors.unknown(f"processor step in {where}:", named, known)
    config = step.get("config") or {}
    if not isinstance(config, dict):
      raise errors.UserError(f"{where}: {kind} has no table as its config")
    if config.get("float_dtype") not in _SINGLE:
      raise errors.UserError(
        f"{where}: {kind} computes in {shown.cut(config['float_dtype'], 80)}, "
        "ACT here in float32: set its float_dtype to null"
      )
  return steps


def _check_order(steps: list[dict[str, Any]], where: str) -> None:
  """Refuses a renaming after the scaling, which is by the new names here.

  LeRobot would leave what is renamed unscaled. All other orders of the steps
  that are known compute the same numbers.
  """
  kinds = [step["registry_name"] for step in steps]
  if _NORMALIZER not in kinds:
    return
  for step in steps[kinds.index(_NORMALIZER) + 1 :]:
    renames = (step.get("config") or {}).get("rename_map")
    if step["registry_name"] == _RENAME and renames:
      raise errors.UserError(
        f"{where} has {_RENAME} after {_NORMALIZER}, which would pass renamed "
        f"features through unscaled: only {_RENAME} before it is understood"
      )


def _rename_map(steps: list[dict[str, Any]], where: str) -> dict[str, str]:
  found: dict[str, str] = {}
  for step in steps:
    if step["registry_name"] != _RENAME:
      continue
    table = (step.get("config") or {}).get("rename_map") or {}
    if not isinstance(table, dict) or found:
      raise errors.UserError(f"{where}: its renaming cannot be followed")
    for theirs, ours in table.items():
      if not isinstance(ours, str) or ours in found.values():
        raise errors.UserError(
          f"{where} renames two features to '{str(ours)[:80]}'"
        )
      found[theirs] = ours
  return found


def _plain_name(name: Any) -> str:
  if not isinstance(name, str) or "/" in name or "\\" in name or ".." in name:
    raise errors.UserError(f"{str(name)[:80]!r} is no name of a state file")
  return name
