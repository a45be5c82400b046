"""What matters of the files of a DreamerV3 checkpoint; without JAX."""

import math
from typing import Annotated

import pydantic

from carnet import errors
from carnet.passport import context, excerpt


class Space(excerpt.Excerpt):
  """An entry of spaces.json; `dreamer.spaces.Space` says what it means."""

  shape: Annotated[tuple[excerpt.Positive, ...], pydantic.Field(max_length=8)]
  classes: excerpt.Size
  is_image: bool
  low: tuple[float | None, ...] | None = None
  high: tuple[float | None, ...] | None = None

  @property
  def elements(self) -> int:
    """How many numbers an array has."""
    return math.prod(self.shape)

  @property
  def width(self) -> int:
    """How many numbers stand for it in a vector, one-hot if discrete."""
    return self.elements * (self.classes or 1)

  @property
  def dtype(self) -> str:
    """Of arrays of this space."""
    if self.is_image:
      return "uint8"
    return "int32" if self.classes else "float32"

  @pydantic.model_validator(mode="after")
  def _sound(self) -> "Space":
    if self.is_image and (len(self.shape) != 3 or self.classes):
      raise ValueError("an image is [height, width, channels], of no classes")
    if not self.is_image and self.width > excerpt.LARGEST_SIZE:
      raise ValueError(f"more than {excerpt.LARGEST_SIZE} numbers")
    for bounds in (self.low, self.high):
      if bounds is not None and len(bounds) != self.elements:
        raise ValueError(f"{len(bounds)} bounds of {self.elements} numbers")
    if (self.low is None) != (self.high is None):
      raise ValueError("give both low and high, or neither")
    return self


_Spaces = Annotated[dict[excerpt.Name, Space], pydantic.Field(max_length=256)]


class Spaces(excerpt.Excerpt):
  """Of spaces.json."""

  observations: _Spaces
  actions: Annotated[_Spaces, pydantic.Field(min_length=1)]
  control_hz: Annotated[float, pydantic.Field(gt=0)] | None = None


class Atari(excerpt.Excerpt):
  """Options of `carnet.envs.atari`."""

  image_size: excerpt.Positive
  gray: bool
  repeat: excerpt.Positive
  pooling: excerpt.Positive
  aggregate: excerpt.Name


class Gym(excerpt.Excerpt):
  """Options of `carnet.envs.gym_env`; 0 resizes nothing."""

  image_size: excerpt.Size


class Environment(excerpt.Excerpt):
  """The task; options of a suite are under its name."""

  name: excerpt.Name
  repeat: excerpt.Positive
  atari: Atari
  gym: Gym

  @property
  def suite(self) -> str:
    """What comes before "/" or ":" in the task's name."""
    return self.name.replace(":", "/").split("/")[0]

  @property
  def frames_per_step(self) -> int:
    """How many frames of the task one step of the policy lasts."""
    return self.repeat * (self.atari.repeat if self.suite == "atari" else 1)


class Rssm(excerpt.Excerpt):
  """Sizes of the latent state."""

  deter: excerpt.Positive
  stoch: excerpt.Positive
  classes: excerpt.Positive
  unimix: float


class Actor(excerpt.Excerpt):
  """How actions are drawn."""

  unimix: float
  apply_unimix: bool


class Evaluation(excerpt.Excerpt):
  """How a policy acts when it is evaluated."""

  actions: excerpt.Name


class Config(excerpt.Excerpt):
  """Of config.json."""

  environment: Environment
  rssm: Rssm
  actor: Actor
  evaluation: Evaluation


class Facts:
  """The facts of one checkpoint.

  Attributes:
    config: of config.json.
    spaces: of spaces.json.
    images: image keys, sorted, as the networks take them.
    vectors: the other keys, sorted.
    actions: sorted.

  Raises:
    UserError: a file is absent or unsound.
  """

  def __init__(self, found: context.Context) -> None:
    self.config = excerpt.read(found, "config.json", Config)
    self.spaces = excerpt.read(found, "spaces.json", Spaces)
    seen = sorted(self.spaces.observations.items())
    self.images = {name: space for name, space in seen if space.is_image}
    self.vectors = {name: space for name, space in seen if not space.is_image}
    self.actions = dict(sorted(self.spaces.actions.items()))
    if not seen or any(space.is_image for space in self.actions.values()):
      raise errors.UserError(
        "spaces.json has no observation, or an image as an action"
      )
    sides = {space.shape[:2] for space in self.images.values()}
    if len(sides) > 1:
      raise errors.UserError(
        f"spaces.json has images of several sizes: {sorted(sides)}"
      )
