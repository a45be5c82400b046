"""Reference frames: as a camera gave them, and as the model sees them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from carnet import errors
from carnet.passport import (
  context,
  contract,
  normalizations,
  operations,
  pipeline,
  reference_data,
  steps,
)
from carnet.passport.page import markup

_Held = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Pair:
  """A frame: uint8 [H, W, 1 or 3], before and after preprocessing."""

  index: int
  raw: np.ndarray
  seen: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Camera:
  """Frames of one camera.

  Attributes:
    name: short key of the camera.
    key: of the camera in an observation.
    pairs: frames, oldest first.
    shape: of a frame when it comes in.
    caption: what the pixels of the model's side mean.
    fault: why there is nothing, or nothing of the model's side.
  """

  name: str
  key: str
  pairs: tuple[Pair, ...] = ()
  shape: tuple[int, ...] = ()
  caption: str = ""
  fault: str = ""


def cameras(found: context.Context, count: int) -> tuple[Camera, ...]:
  """Returns the cameras of the contract with at most `count` frames each."""
  declared = found.passport.input_contract
  return tuple(
    _camera(found, image, count)
    for image in (declared.images if declared else ())
  )


def _camera(
  found: context.Context, image: contract.Image, count: int
) -> Camera:
  told = Camera(image.short_key, image.key)
  try:
    raw = _read(found, image, count)
  except errors.UserError as error:
    return dataclasses.replace(told, fault=str(error))
  first = next(iter(raw.values()), None)
  if first is None:
    return dataclasses.replace(told, fault="there are no reference frames")
  told = dataclasses.replace(told, shape=first.shape)
  try:
    seen = {index: _seen(found, image.key, x) for index, x in raw.items()}
    shown, caption = _shown(seen)
  except (errors.UserError, ValueError, TypeError) as error:
    shown, caption = {}, ""
    told = dataclasses.replace(told, fault=str(error))
  pairs = tuple(Pair(x, _opaque(raw[x]), shown.get(x)) for x in raw)
  return dataclasses.replace(told, pairs=pairs, caption=caption)


def _read(
  found: context.Context, image: contract.Image, count: int
) -> dict[int, np.ndarray]:
  """Returns some of the frames by their number, evenly chosen."""
  vector = found.passport.reference_test_vector
  if vector is None or vector.input_images_path is None:
    return {}
  there = len(vector.input_images_hash.get(image.short_key, ()))
  chosen = np.linspace(0, there - 1, min(count, there)).round().astype(int)
  frames = {}
  for index in map(int, chosen):
    name = reference_data.frame_path(vector, image, index)
    frames[index] = _picture(reference_data.read(found, name), name)
  return frames


def _picture(content: bytes, name: str) -> np.ndarray:
  try:
    return reference_data.picture(content, name)
  except ImportError as error:  # a robot may do without Pillow
    raise errors.UserError(f"no pictures: {error}") from error


def _seen(found: context.Context, key: str, frame: np.ndarray) -> np.ndarray:
  """Returns what the pipeline makes of a frame, as long as it is a picture."""
  statistics = pipeline.statistics_from(found.json)
  call = normalizations.Call(statistics, np)
  held: _Held = {key: frame[None]}
  seen = frame
  for step in pipeline.of(found.passport.transform_pipeline, "pre"):
    reads = pipeline.reads(step)
    if not all(name in held for name in reads):
      continue  # it is of another sensor, or joins this one with others
    if step.op == "concatenate" and step.params.axis == "features":
      continue
    _check_size(step)
    arrays = [held[name] for name in reads]
    result = np.asarray(operations.apply(step, arrays, call))
    held[step.output_key] = result
    if result.ndim == 4:
      seen = result[0]
  return seen


def _check_size(step: steps.TransformStep) -> None:
  if step.op == "resize":
    pixels = step.params.height * step.params.width
    if pixels > reference_data.LARGEST_PIXELS:
      raise errors.UserError(f"step {step.index} makes {pixels} pixels")


def _shown(
  seen: Mapping[int, np.ndarray],
) -> tuple[dict[int, np.ndarray], str]:
  """Maps all frames to 0..255 in the same way; returns how, too."""
  arrays = {index: _colours(x) for index, x in seen.items()}
  values = np.stack(list(seen.values()))
  caption = f"{markup.size(values.shape[1:])}, {values.dtype}"
  if values.shape[-1] not in (1, 3):
    caption += f", the last of its {values.shape[-1]} channels shown"
  if values.dtype == np.uint8:
    return arrays, f"{caption}, {values.min()} to {values.max()}"
  low, high = float(values.min()), float(values.max())
  if not np.isfinite([low, high]).all():
    raise errors.UserError("preprocessing gives values that are not finite")
  factor = 255 / (high - low) if high > low else 0.0
  shown = {
    index: ((x - low) * factor).round().astype(np.uint8)
    for index, x in arrays.items()
  }
  black, white = markup.number(low), markup.number(high)
  return shown, f"{caption}; black is {black}, white is {white}"


def _colours(picture: Any) -> np.ndarray:
  """Returns the last one or three channels of a picture."""
  channels = picture.shape[-1]
  return picture[..., -(3 if channels % 3 == 0 else 1) :]


def _opaque(picture: np.ndarray) -> np.ndarray:
  """Returns a decoded PNG without its transparency, the last even channel."""
  return picture[..., : picture.shape[-1] - 1 + picture.shape[-1] % 2]
