"""What a policy is to be fed, and what it gives: `input_contract`."""

from typing import Literal

import pydantic

from carnet.passport import fields

Norm = Literal[
  "identity",
  "mean_std",
  "min_max",
  "quantiles",
  "quantile10",
  "imagenet",
  "scale",
  "symlog",
  "one_hot",
]


class Fingerprint(fields.Model):
  """Pins the numbers of a normalisation: a file, a key in it, its digest."""

  file: fields.RelativePath
  key: fields.Name
  file_sha256: fields.Sha256


class NormSpec(fields.Model):
  """A normalisation, formula included.

  mean_std is (x - mean) / (max(std, std_floor) + epsilon); min_max, quantiles
  (q01, q99) and quantile10 (q10, q90) map low..high to -1..1; scale is
  x * factor + offset; imagenet is mean_std with its constants; symlog is
  sign(x) ln(1 + |x|). Pictures are divided by 255 first, unless it is scale.
  min_max without statistics maps the bounds of the actions.
  """

  mode: Norm
  epsilon: float = 0.0
  std_floor: float = 0.0
  factor: float | None = None
  offset: float | None = None
  clip: tuple[float, float] | None = None
  stats_fingerprint: Fingerprint | None = None


class Resize(fields.Model):
  """How a camera's picture becomes the one that the policy takes."""

  height: fields.Positive
  width: fields.Positive
  method: Literal["nearest", "bilinear", "bicubic", "lanczos", "area"]
  antialias: bool
  keep_aspect: bool
  pad_value: float | None = None


class Image(fields.Model):
  """One camera. `shape` is [H, W, C] of what reaches the policy."""

  key: fields.Name
  short_key: fields.Name
  shape: tuple[fields.Positive, fields.Positive, fields.Positive]
  resize: Resize | None
  color: Literal["RGB", "BGR", "GRAY", "OTHER"]
  layout: Literal["HWC", "CHW"]
  dtype: fields.Name
  value_range: tuple[float, float]
  normalization: NormSpec | None
  physical_mounting: fields.Text | None = None
  camera_serial: fields.Text | None = None
  camera_usb_path: fields.Text | None = None


class SubKey(fields.Model):
  """A named slice [start, stop) of a vector."""

  name: fields.Name
  start: fields.Count
  stop: fields.Positive
  unit: fields.Text | None = None


class State(fields.Model):
  """The vector that the network sees, key by key; `dim` 0 is none.

  `dataset_sub_keys` is the layout before it was expanded, as in one-hot
  vectors or rotations; None is the same.
  """

  dim: fields.Count
  sub_keys: tuple[SubKey, ...]
  dataset_sub_keys: tuple[SubKey, ...] | None = None
  normalization: NormSpec | None


class DeltaSpec(fields.Model):
  """Which dimensions of the action are relative, and why the rest are not."""

  delta_mask: tuple[bool, ...]
  absolute_dims_reason: fields.Text


class Actions(fields.Model):
  """What comes out: `horizon` actions a query, `n_action_steps` executed.

  `norm_mask` tells which dimensions are normalised. `low` and `high` bound
  what the environment takes.
  """

  dim: fields.Positive
  horizon: fields.Positive
  n_action_steps: fields.Positive
  kind: Literal["continuous", "discrete_onehot", "discrete_index", "mixed"]
  classes: fields.Count = 0
  low: fields.Numbers | None = None
  high: fields.Numbers | None = None
  sub_keys: tuple[SubKey, ...]
  norm_mask: tuple[bool, ...]
  delta_dims: DeltaSpec
  normalization: NormSpec | None


class Language(fields.Model):
  """How a prompt is fed."""

  tokenizer: fields.Name
  max_sequence_length: fields.Positive
  default_prompt: fields.Text


class Temporal(fields.Model):
  """When observations are taken, relative to the present one, and how often."""

  n_obs_steps: fields.Positive
  observation_delta_indices: tuple[int, ...]
  control_hz: float | None
  action_repeat: fields.Positive


class Array(fields.Model):
  """Shape and dtype of an array, without a batch axis."""

  shape: fields.Shape
  dtype: fields.Name


class Recurrent(fields.Model):
  """What a policy carries from step to step, and what makes it forget."""

  carry_spec: dict[str, Array]
  reset_flag_key: fields.Name


class InputContract(fields.Model):
  """Everything that goes in, and the actions that come out."""

  images: tuple[Image, ...]
  state: State
  actions: Actions
  language: Language | None
  temporal: Temporal
  recurrent: Recurrent | None

  @pydantic.model_validator(mode="after")
  def _no_camera_twice(self) -> "InputContract":
    for attribute in ("key", "short_key"):
      names = [getattr(image, attribute) for image in self.images]
      if len(set(names)) < len(names):
        raise ValueError(f"two images have the same {attribute}")
    return self
