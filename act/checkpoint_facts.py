"""What matters of the files of an ACT checkpoint, checked; without JAX."""

import os
from typing import Annotated, Any

import pydantic

from carnet import errors
from carnet.passport import context, contract, excerpt

STATISTICS = "stats.json"
RANGES: dict[str, tuple[Any, Any]] = {
  "min_max": ("min", "max"),
  "quantiles": ("q01", "q99"),
  "quantile10": ("q10", "q90"),
}
_MODES = ("identity", "mean_std", *RANGES)


class _Model(excerpt.Excerpt):
  chunk_size: excerpt.Positive
  n_action_steps: excerpt.Positive
  temporal_ensemble: bool
  temporal_ensemble_coefficient: float
  latent_size: excerpt.Positive
  backbone: excerpt.Name
  backbone_weights: Annotated[str, pydantic.Field(max_length=4096)]


class _Normalization(excerpt.Excerpt):
  state: excerpt.Name
  action: excerpt.Name
  images: excerpt.Name
  epsilon: Annotated[float, pydantic.Field(ge=0)]
  minimum_std: Annotated[float, pydantic.Field(ge=0)]


class _Dataset(excerpt.Excerpt):
  state: excerpt.Text
  environment_state: excerpt.Text = ""  # absent before carnet 0.2


class _Optimizer(excerpt.Excerpt):
  learning_rate: float
  backbone_learning_rate: float


class Config(excerpt.Excerpt):
  """Of config.json."""

  model: _Model
  normalization: _Normalization
  dataset: _Dataset
  optimizer: _Optimizer


_Shape = tuple[excerpt.Positive, excerpt.Positive, excerpt.Positive]


class Features(excerpt.Excerpt):
  """Of features.json; see `act.features`."""

  images: Annotated[
    tuple[tuple[excerpt.Name, _Shape], ...], pydantic.Field(max_length=64)
  ]
  action_size: excerpt.Positive
  state_size: excerpt.Size
  environment_state_size: excerpt.Size


class _Metadata(excerpt.Excerpt):
  control_hz: Annotated[float, pydantic.Field(gt=0)] | None = None


class Facts:
  """The facts of one checkpoint.

  Attributes:
    config: of config.json.
    features: of features.json.
    control_hz: of dataset.json, None where that does not tell.

  Raises:
    UserError: a file is absent or unsound, or two contradict each other.
  """

  def __init__(self, found: context.Context) -> None:
    self.config = excerpt.read(found, "config.json", Config)
    self.features = excerpt.read(found, "features.json", Features)
    self._sha256 = excerpt.sha256(found, STATISTICS)
    self.control_hz: float | None = None
    if os.path.lexists(found.path / "dataset.json"):
      metadata = excerpt.read(found, "dataset.json", _Metadata)
      self.control_hz = metadata.control_hz
    self._state = self.config.dataset.state
    self._check()

  def _check(self) -> None:
    if bool(self._state) != bool(self.features.state_size):
      raise errors.UserError(
        f"config.json names the state '{self._state}', features.json has "
        f"state_size {self.features.state_size}: one of both is wrong"
      )
    chosen = self.config.model
    if chosen.n_action_steps > chosen.chunk_size:
      raise errors.UserError(
        f"config.json executes {chosen.n_action_steps} actions of a chunk of "
        f"{chosen.chunk_size}"
      )

  def vectors(self) -> dict[str, tuple[str, int]]:
    """Returns observation key -> (the network's key, size)."""
    found = {}
    if self.features.state_size:
      found[self._state] = ("state", self.features.state_size)
    if self.features.environment_state_size:
      size = self.features.environment_state_size
      key = self.config.dataset.environment_state or "environment_state"
      found[key] = ("environment_state", size)
    return found

  def _pin(self, feature: str) -> contract.Fingerprint:
    return contract.Fingerprint(
      file=STATISTICS, key=feature, file_sha256=self._sha256
    )

  def norm(self, mode: str, feature: str) -> contract.NormSpec:
    """Returns the formula of a feature; UserError for a mode unknown."""
    chosen = self.config.normalization
    is_image = feature.startswith("images/")
    known = (*_MODES, "imagenet") if is_image else _MODES
    if mode not in known:
      raise errors.unknown(f"normalization of '{feature}'", mode, known)
    if mode == "identity":
      return contract.NormSpec(mode="identity")
    if mode == "imagenet":
      return contract.NormSpec(mode="imagenet", epsilon=chosen.epsilon)
    floor = chosen.minimum_std if mode == "mean_std" else 0.0
    return contract.NormSpec(
      mode=mode,  # type: ignore[arg-type]
      epsilon=chosen.epsilon,
      std_floor=floor,
      stats_fingerprint=self._pin(feature),
    )
