"""The steps of the pipeline that one camera or vector goes through."""

from collections.abc import Iterable, Sequence

from carnet import errors
from carnet.passport import contract, pipeline, steps

MOST_STEPS = 1000
Steps = Sequence[steps.TransformStep]


def check(listed: Steps) -> None:
  """Raises UserError for more steps than any policy takes."""
  if len(listed) > MOST_STEPS:
    raise errors.UserError(
      f"transform_pipeline has {len(listed)} steps: at most {MOST_STEPS}"
    )


def sources(listed: Steps, stage: pipeline.Stage) -> tuple[str, ...]:
  """Returns keys that a stage reads and did not make, in order."""
  wanted: dict[str, None] = {}
  made = set()
  for step in listed:
    if step.stage == stage:
      wanted |= dict.fromkeys(k for k in pipeline.reads(step) if k not in made)
      made.add(step.output_key)
  return tuple(wanted)


def of(
  listed: Steps, stage: pipeline.Stage, key: str
) -> tuple[steps.TransformStep, ...]:
  """Returns the steps of a stage that a key goes through, joined or alone."""
  held, found = {key}, []
  for step in listed:
    if step.stage == stage and held & set(pipeline.reads(step)):
      held.add(step.output_key)
      found.append(step)
  return tuple(found)


def image_key(listed: Steps, image: contract.Image) -> str:
  """Returns the name that the pipeline has for a camera."""
  return image.key if image.key in sources(listed, "pre") else image.short_key


def vector_keys(
  listed: Steps, images: Iterable[contract.Image]
) -> tuple[str, ...]:
  """Returns the keys that the pipeline reads beside the cameras."""
  cameras = {name for image in images for name in (image.key, image.short_key)}
  return tuple(key for key in sources(listed, "pre") if key not in cameras)
