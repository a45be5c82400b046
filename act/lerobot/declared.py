"""What a policy of LeRobot declares of its inputs, outputs and scaling.

Two generations of config.json are read: input_features and
normalization_mapping (2025 on), and input_shapes and input_normalization_modes
(2024, the Hydra era), which is written anew as the former.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from act import features as features_lib
from act.recordings import naming
from carnet import errors, paths
from carnet.passport import shown

STATE, ENVIRONMENT, ACTION = (
  "observation.state",
  "observation.environment_state",
  "action",
)
# their mode -> ours
MODES = {
  "IDENTITY": "identity",
  "MEAN_STD": "mean_std",
  "MIN_MAX": "min_max",
  "QUANTILES": "quantiles",
  "QUANTILE10": "quantile10",
}
_LARGEST = 1 << 16  # elements of a vector, pixels of a side
_CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class Feature:
  """A named input or output: its kind ("VISUAL") and its shape."""

  kind: str
  shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Declared:
  """What goes in and out, under LeRobot's names.

  Attributes:
    cameras: name -> (height, width), in the order of their tokens.
    state, environment_state: the names, "" is none.
    sizes: of the vectors, the action too.
    modes: kind ("VISUAL", "STATE", "ENV", "ACTION") -> our mode.
    unused: inputs that the network does not see.
  """

  cameras: Mapping[str, tuple[int, int]]
  state: str
  environment_state: str
  sizes: Mapping[str, int]
  modes: Mapping[str, str]
  unused: tuple[str, ...] = ()

  def kinds(self) -> dict[str, str]:
    """Returns the kind of every feature that the network sees or makes."""
    found = dict.fromkeys(self.cameras, "VISUAL")
    if self.state:
      found[self.state] = "STATE"
    if self.environment_state:
      found[self.environment_state] = "ENV"
    return found | {ACTION: "ACTION"}

  def ours(self) -> dict[str, str]:
    """Returns each feature -> its key in our stats.json.

    Raises:
      UserError: two cameras would have one name.
    """
    found: dict[str, str] = {}
    for name, kind in self.kinds().items():
      key = {"STATE": "state", "ENV": "environment_state"}.get(kind, ACTION)
      if kind == "VISUAL":
        key = f"images/{paths.check_name(naming.short(name), name)}"
      if key in found.values():
        raise errors.UserError(f"two features would both be '{key}' here")
      found[name] = key
    return found

  def features(self) -> features_lib.Features:
    """Returns the same in our terms."""
    ours = self.ours()
    return features_lib.Features(
      images=tuple(
        (ours[name].removeprefix("images/"), (*size, _CHANNELS))
        for name, size in self.cameras.items()
      ),
      action_size=self.sizes[ACTION],
      state_size=self.sizes.get(self.state, 0),
      environment_state_size=self.sizes.get(self.environment_state, 0),
    )


def of(config: Mapping[str, Any], where: str) -> Declared:
  """Returns what a config.json, which messages call `where`, declares.

  Raises:
    UserError: it declares nothing sound, or what ACT cannot have.
  """
  try:
    modern = config if "input_features" in config else _modernised(config)
    inputs = _features(modern["input_features"])
    outputs = _features(modern["output_features"])
    modes = dict(modern["normalization_mapping"])
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise errors.UserError(
      f"{where} does not declare its features as LeRobot does: "
      f"{shown.cut(repr(error))}"
    ) from error
  check_modes(modes, where)
  return _declared(inputs, outputs, modes, where)


def check_modes(modes: Mapping[str, Any], where: str) -> None:
  """Raises UserError where a feature's normalization is none of LeRobot's."""
  for mode in modes.values():
    if str(mode) not in MODES:
      raise errors.unknown(f"normalization in {where}", shown.cut(mode), MODES)


def _declared(
  inputs: Mapping[str, Feature],
  outputs: Mapping[str, Feature],
  modes: Mapping[str, str],
  where: str,
) -> Declared:
  cameras = {n: _size(n, x, where) for n, x in inputs.items() if _visual(x)}
  state = _only([n for n, x in inputs.items() if x.kind == "STATE"], STATE)
  environment = _only([n for n, x in inputs.items() if x.kind == "ENV"], "")
  if ACTION not in outputs or outputs[ACTION].kind != "ACTION":
    raise errors.UserError(f"{where} declares no output '{ACTION}'")
  if not cameras and not environment:
    raise errors.UserError(f"{where} declares neither a camera nor an ENV")
  seen = (*cameras, *filter(None, (state, environment)))
  sizes = {n: _width(n, inputs[n], where) for n in seen if n not in cameras}
  return Declared(
    cameras=cameras,
    state=state,
    environment_state=environment,
    sizes=sizes | {ACTION: _width(ACTION, outputs[ACTION], where)},
    # a kind that the mapping lacks is left as it is, says LeRobot
    modes={
      kind: MODES[modes.get(kind, "IDENTITY")]
      for kind in ("VISUAL", "STATE", "ENV", "ACTION")
    },
    unused=tuple(name for name in inputs if name not in seen),
  )


def _visual(feature: Feature) -> bool:
  return feature.kind == "VISUAL"


def _only(names: list[str], preferred: str) -> str:
  """Returns the input that LeRobot takes: by name, else the first."""
  return preferred if preferred in names else (names or [""])[0]


def _features(table: Mapping[str, Any]) -> dict[str, Feature]:
  found = {}
  for name, row in table.items():
    shape = tuple(row["shape"])
    if not all(type(n) is int and 0 < n <= _LARGEST for n in shape):
      raise ValueError(f"'{name}' has the shape {shape}")
    found[name] = Feature(str(row["type"]), shape)
  return found


def _size(name: str, feature: Feature, where: str) -> tuple[int, int]:
  if len(feature.shape) != 3 or feature.shape[0] != _CHANNELS:
    raise errors.UserError(
      f"{where}: '{name}' has the shape {list(feature.shape)}, not [3, height, "
      "width]"
    )
  return feature.shape[1], feature.shape[2]


def _width(name: str, feature: Feature, where: str) -> int:
  if len(feature.shape) != 1:
    raise errors.UserError(
      f"{where}: '{name}' has the shape {list(feature.shape)}, not one axis"
    )
  return feature.shape[0]


def _modernised(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the features of 2024 as they are written since 2025."""
  modes = {
    **config["input_normalization_modes"],
    **config["output_normalization_modes"],
  }
  mapping: dict[str, str] = {}
  tables: list[dict[str, Any]] = []
  for shapes in (config["input_shapes"], config["output_shapes"]):
    table = {n: {"type": _kind(n), "shape": s} for n, s in shapes.items()}
    tables.append(table)
    for name, row in table.items():
      mode = str(modes.get(name) or "identity").upper()
      if mapping.setdefault(row["type"], mode) != mode:
        raise ValueError(f"'{name}' is scaled unlike others of its kind")
  return {
    "input_features": tables[0],
    "output_features": tables[1],
    "normalization_mapping": mapping,
  }


def _kind(name: str) -> str:
  if name.startswith("observation.image"):
    return "VISUAL"
  return {STATE: "STATE", ENVIRONMENT: "ENV", ACTION: "ACTION"}.get(name, "")
