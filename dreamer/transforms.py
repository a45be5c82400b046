"""The transform pipeline of a DreamerV3 checkpoint: steps, without JAX.

    screen -> frames joined, resized, grey  by the environment, where it does so
    images -> x / 255 - 0.5 -> side by side as channels  ------+-> encoder
    vectors -> symlog or one-hot -> side by side, keys sorted -+
    actions -> to the environment's bounds -> repeated  by the environment

The arithmetic of the policy's steps is that of `dreamer.codec.prepare`.
"""

from typing import Any, cast

from carnet.passport import contract, steps
from dreamer import checkpoint_facts

VECTOR = "encoder/vector"
IMAGES = "encoder/images"
# luma of ITU-R BT.601, as in `carnet.envs.atari`
_GRAY = (0.299, 0.587, 1 - (0.299 + 0.587))


def of(facts: checkpoint_facts.Facts) -> tuple[steps.TransformStep, ...]:
  """Returns the steps from sensor to encoder, and from actor to command."""
  found = _Steps(facts)
  found.add_screen()
  found.add_vectors()
  found.add_images()
  found.add_actions()
  return tuple(found.rows)


def resize_of(facts: checkpoint_facts.Facts) -> contract.Resize | None:
  """Returns how the environment resizes pictures; None where it does not."""
  environment = facts.config.environment
  size = 0
  if environment.suite == "atari":
    size = environment.atari.image_size
  elif environment.suite == "gym":
    size = environment.gym.image_size
  if not size or not facts.images:
    return None
  return contract.Resize(
    height=size,
    width=size,
    method="bilinear",
    antialias=True,  # Pillow's
    keep_aspect=False,
  )


class _Steps:
  """The steps so far."""

  def __init__(self, facts: checkpoint_facts.Facts) -> None:
    self._facts = facts
    self.rows: list[steps.TransformStep] = []

  def _add(self, kind: Any, op: str, params: Any, **more: Any) -> None:
    step = {"stage": "pre", "invertible": False, **more}
    self.rows.append(
      cast(
        steps.TransformStep,
        kind(index=len(self.rows), op=op, params=params, **step),
      )
    )

  def add_screen(self) -> None:
    """Adds what environments do to their pictures."""
    environment, resize = self._facts.config.environment, resize_of(self._facts)
    atari = environment.atari if environment.suite == "atari" else None
    code = "carnet.envs.atari:make" if atari else "carnet.envs.gym_env:make"
    for name in self._facts.images:
      common = {
        "input_key": name,
        "output_key": name,
        "executed_by": "environment",
        "code_ref": code,
      }
      if atari:
        joined = steps.AggregateParams(
          frames=atari.pooling,
          method="max" if atari.aggregate == "max" else "mean",
        )
        self._add(steps.Aggregate, "aggregate_frames", joined, **common)
      if resize:
        self._add(steps.Resize, "resize", resize, **common)
      if atari and atari.gray:
        gray = steps.GrayParams(weights=_GRAY)
        self._add(steps.Gray, "gray", gray, **common)

  def add_vectors(self) -> None:
    """Adds symlog and one-hot of each vector, and their concatenation."""
    for name, space in self._facts.vectors.items():
      common = {"input_key": name, "output_key": name}
      if space.classes:
        classes = steps.OneHotParams(classes=space.classes)
        common["code_ref"] = "dreamer.spaces:to_vector"
        self._add(steps.OneHot, "one_hot", classes, **common)
      else:
        common["code_ref"] = "dreamer.ops:symlog"
        self._add(
          *(steps.Symlog, "symlog", steps.NoParams()),
          invertible=True,
          **common,
        )
    self._join(tuple(self._facts.vectors), "features", VECTOR)

  def add_images(self) -> None:
    """Adds the scaling of each image, and their concatenation."""
    scale = steps.ScaleParams(divisor=255.0, offset=-0.5, dtype="uint8")
    for name in self._facts.images:
      self._add(
        *(steps.Scale, "scale", scale),
        input_key=name,
        output_key=name,
        invertible=True,
        code_ref="dreamer.codec:prepare",
      )
    self._join(tuple(self._facts.images), "channels", IMAGES)

  def _join(self, keys: tuple[str, ...], axis: str, output: str) -> None:
    if not keys:
      return
    self._add(
      steps.Concatenate,
      "concatenate",
      steps.ConcatenateParams(keys=keys, axis=axis),  # type: ignore[arg-type]
      input_key="vectors" if axis == "features" else "images",
      output_key=output,
      code_ref="dreamer.codec:prepare",
    )

  def add_actions(self) -> None:
    """Adds what the environment does to actions: its bounds, repetition."""
    for name, space in self._facts.actions.items():
      if not space.classes and bounded(space):
        self._add(
          steps.FromBounds,
          "from_bounds",
          steps.BoundsParams(low=space.low, high=space.high, clip=True),
          stage="post",
          input_key=name,
          output_key=name,
          executed_by="environment",
          invertible=space.low is not None,
          code_ref="carnet.envs.wrappers:NormalizedActions",
        )
    times = self._facts.config.environment.frames_per_step
    if times > 1:
      for name in self._facts.actions:
        self._add(
          steps.Repeat,
          "repeat_action",
          steps.RepeatParams(times=times),
          stage="post",
          input_key=name,
          output_key=name,
          executed_by="environment",
          code_ref="carnet.envs.wrappers:ActionRepeat",
        )


def bounded(space: checkpoint_facts.Space) -> bool:
  """Whether an action has bounds, or may have: old files do not tell."""
  return space.low is None or any(bound is not None for bound in space.low)
