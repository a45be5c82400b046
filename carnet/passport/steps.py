"""One step of the way from sensor to action: `transform_pipeline`.

What each operation computes stands in `carnet.passport.operations`, which runs
them; a new operation needs a class here and a function there.
"""

from typing import Annotated, Literal

import pydantic

from carnet.passport import contract, fields


class _Step(fields.Model):
  """A step: where it runs, what it reads and what it gives.

  `executed_by` is "environment" for what lies outside the policy, such as the
  repetition of actions: it is recorded, and not run again.
  """

  index: fields.Count
  stage: Literal["pre", "post"]
  executed_by: Literal["policy", "environment"] = "policy"
  input_key: fields.Name
  output_key: fields.Name
  invertible: bool
  code_ref: fields.Name


class Resize(_Step):
  """Scales a picture [H, W, C]."""

  op: Literal["resize"]
  params: contract.Resize


class GrayParams(fields.Model):
  """Weights of red, green and blue."""

  weights: tuple[float, float, float]


class Gray(_Step):
  """Makes a picture grey: uint8 [H, W, 3] -> [H, W, 1], fractions cut off."""

  op: Literal["gray"]
  params: GrayParams


class AggregateParams(fields.Model):
  """How many frames, oldest or newest first, and what is taken of them."""

  frames: fields.Positive
  method: Literal["max", "mean"]


class Aggregate(_Step):
  """Makes one picture of the last ones: [F, H, W, C] -> [H, W, C]."""

  op: Literal["aggregate_frames"]
  params: AggregateParams


class ScaleParams(fields.Model):
  """x / divisor + offset, float32; other arrays than of `dtype` are refused.

  Pictures in 0..1 that are divided by 255 again look like night. None takes
  any numbers.
  """

  divisor: float
  offset: float
  dtype: fields.Name | None = None

  @pydantic.field_validator("divisor")
  @classmethod
  def _not_zero(cls, divisor: float) -> float:
    if divisor == 0:
      raise ValueError("a divisor of zero")
    return divisor


class Scale(_Step):
  """Divides and shifts, such as uint8 to 0..1; by 1 and 0 it only casts."""

  op: Literal["scale"]
  params: ScaleParams


class Constants(fields.Model):
  """Numbers of a normalisation that are no statistics of the data."""

  mean: fields.Numbers
  std: fields.Numbers


class StandardizeParams(fields.Model):
  """Mean and standard deviation: constants, or those of a file."""

  constants: Constants | None = None
  statistics: contract.Fingerprint | None = None
  std_floor: float
  epsilon: float

  @pydantic.model_validator(mode="after")
  def _one_source(self) -> "StandardizeParams":
    if (self.constants is None) == (self.statistics is None):
      raise ValueError("give either constants or statistics")
    return self


class Standardize(_Step):
  """(x - mean) / (max(std, std_floor) + epsilon)."""

  op: Literal["standardize"]
  params: StandardizeParams


class Unstandardize(_Step):
  """x max(std, std_floor) + mean: without epsilon, as LeRobot's inverse."""

  op: Literal["unstandardize"]
  params: StandardizeParams


class RangeParams(fields.Model):
  """Two entries of the statistics that become -1 and 1."""

  statistics: contract.Fingerprint
  low: Literal["min", "q01", "q10"]
  high: Literal["max", "q99", "q90"]
  epsilon: float


class ToUnitRange(_Step):
  """2 (x - low) / (high - low) - 1; a width of 0 counts as epsilon."""

  op: Literal["to_unit_range"]
  params: RangeParams


class FromUnitRange(_Step):
  """The inverse of to_unit_range."""

  op: Literal["from_unit_range"]
  params: RangeParams


class NoParams(fields.Model):
  """Nothing to choose."""


class Symlog(_Step):
  """sign(x) ln(1 + |x|); with a -inf anywhere, x is missing and all zeros."""

  op: Literal["symlog"]
  params: NoParams


class OneHotParams(fields.Model):
  """How many values an element has; with a -1 anywhere, all are zeros."""

  classes: fields.Positive


class OneHot(_Step):
  """One-hot float32 of integers, flattened."""

  op: Literal["one_hot"]
  params: OneHotParams


class ConcatenateParams(fields.Model):
  """Keys in order; vectors are flattened first, pictures keep their axes."""

  keys: tuple[fields.Name, ...]
  axis: Literal["features", "channels"]


class Concatenate(_Step):
  """Joins arrays along their last axis; `input_key` names the group."""

  op: Literal["concatenate"]
  params: ConcatenateParams


Bounds = tuple[float | None, ...]


class BoundsParams(fields.Model):
  """Bounds of the action, one for each element or one for all.

  An element without bounds, None, passes as it is. Where both are None, the
  files do not tell the bounds, and the step cannot be run.
  """

  low: Bounds | None
  high: Bounds | None
  clip: bool

  @pydantic.model_validator(mode="after")
  def _pairs(self) -> "BoundsParams":
    if self.low is None or self.high is None:
      if self.low is not self.high:
        raise ValueError("give both low and high, or neither")
      return self
    if len(self.low) != len(self.high):
      raise ValueError("low and high differ in length")
    for low, high in zip(self.low, self.high, strict=True):
      if (low is None) != (high is None):
        raise ValueError("an element has one bound alone")
      if low is not None and high is not None and low > high:
        raise ValueError("a low bound is above its high one")
    return self


class FromBounds(_Step):
  """-1..1 to low..high: (x + 1) / 2 (high - low) + low; -1..1 only clips."""

  op: Literal["from_bounds"]
  params: BoundsParams


class ExecuteParams(fields.Model):
  """How many actions of a chunk are executed, or how chunks are averaged."""

  horizon: fields.Positive
  n_action_steps: fields.Positive
  temporal_ensemble_coefficient: float | None


class Execute(_Step):
  """Takes actions of a chunk [K, A] one by one, or averages chunks."""

  op: Literal["execute_chunk"]
  params: ExecuteParams


class RepeatParams(fields.Model):
  """How often."""

  times: fields.Positive


class Repeat(_Step):
  """Applies each action so many times; rewards add up."""

  op: Literal["repeat_action"]
  params: RepeatParams


TransformStep = Annotated[
  Resize
  | Gray
  | Aggregate
  | Scale
  | Standardize
  | Unstandardize
  | ToUnitRange
  | FromUnitRange
  | Symlog
  | OneHot
  | Concatenate
  | FromBounds
  | Execute
  | Repeat,
  pydantic.Field(discriminator="op"),
]
