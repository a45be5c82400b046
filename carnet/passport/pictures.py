"""What is done to pictures, uint8 [..., H, W, C], before a policy sees them.

Sizes are changed as by Pillow's `Image.resize`: columns, then rows, each time
rounded to uint8. A new pixel is a weighted mean of those around its centre; to
make a picture smaller, `antialias` widens the window by the ratio of the sizes.
Source: `precompute_coeffs` of Pillow's src/libImaging/Resample.c.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from carnet import errors
from carnet.passport import contract, steps

LARGEST_SIDE = 1 << 14
_ONE = 1 << 22  # PRECISION_BITS
_Filter = Callable[[np.ndarray], np.ndarray]


def _box(x: np.ndarray) -> np.ndarray:
  return ((x > -0.5) & (x <= 0.5)).astype(np.float64)


def _triangle(x: np.ndarray) -> np.ndarray:
  return np.maximum(1 - np.abs(x), 0)


def _cubic(x: np.ndarray) -> np.ndarray:
  a, x = -0.5, np.abs(x)
  near = ((a + 2) * x - (a + 3)) * x * x + 1
  far = (((x - 5) * x + 8) * x - 4) * a
  return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: np.ndarray) -> np.ndarray:
  return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


# method: (filter, half its width)
_FILTERS: dict[str, tuple[_Filter, float]] = {
  "area": (_box, 0.5),
  "bilinear": (_triangle, 1.0),
  "bicubic": (_cubic, 2.0),
  "lanczos": (_lanczos, 3.0),
}


def check(image: Any, batch_axes: int, axes: int) -> None:
  """Raises UserError unless it is uint8, with so many axes after the batch."""
  if str(image.dtype) != "uint8" or image.ndim != batch_axes + axes:
    raise errors.UserError(
      f"takes uint8 pictures of {axes} axes, not {image.dtype} "
      f"{tuple(image.shape)[batch_axes:]}"
    )


def gray(
  image: Any, weights: tuple[float, float, float], xp: ModuleType
) -> Any:
  """Returns [..., H, W, 1]: the weighted sum of the colours, cut off."""
  if image.shape[-1] != 3:
    raise errors.UserError(f"takes three colours, not {image.shape[-1]}")
  row = np.asarray(weights).reshape((1,) * (image.ndim - 1) + (3,))
  row = xp.asarray(row, dtype=float)
  total = (image.astype(row.dtype) * row).sum(-1)
  return total.astype(image.dtype)[..., None]


def aggregate(image: Any, params: steps.AggregateParams) -> Any:
  """Returns one picture [..., H, W, C] of frames [..., F, H, W, C]."""
  if image.shape[-4] != params.frames:
    raise errors.UserError(
      f"takes {params.frames} frames, not {image.shape[-4]}"
    )
  if params.method == "max":
    return image.max(-4)
  return image.astype(float).mean(-4).astype(image.dtype)


def resize(image: Any, params: contract.Resize, xp: ModuleType) -> Any:
  """Returns uint8 pictures [..., H, W, C] in the size of `params`.

  With `keep_aspect`, the picture is as large as fits, in the middle of
  `pad_value`.

  Raises:
    UserError: a side is too long, or a border is to be filled with None.
  """
  sides = (*image.shape[-3:-1], params.height, params.width)
  if min(sides) < 1 or max(sides) > LARGEST_SIDE:
    raise errors.UserError(
      f"resizes sides of 1 to {LARGEST_SIDE} pixels, not {sides}"
    )
  if not params.keep_aspect:
    return _resize(image, params.height, params.width, params, xp)
  ratio = min(params.height / sides[0], params.width / sides[1])
  height, width = (max(1, round(side * ratio)) for side in sides[:2])
  inner = _resize(image, height, width, params, xp)
  if params.pad_value is None:
    raise errors.UserError("keeps the aspect, but has no pad_value")
  rows, columns = params.height - height, params.width - width
  border = [(0, 0)] * (image.ndim - 3)
  border += [(rows // 2, rows - rows // 2)]
  border += [(columns // 2, columns - columns // 2), (0, 0)]
  return xp.pad(inner, border, constant_values=np.uint8(params.pad_value))


def _resize(
  image: Any, height: int, width: int, params: contract.Resize, xp: ModuleType
) -> Any:
  if params.method == "nearest":
    rows = _nearest(image.shape[-3], height)
    columns = _nearest(image.shape[-2], width)
    return image[..., rows, :, :][..., columns, :]
  # columns first, as Pillow
  image = _along(image, -2, width, params, xp)
  return _along(image, -3, height, params, xp)


def _nearest(length: int, size: int) -> np.ndarray:
  # added up step by step, as `ImagingScaleAffine` of Pillow's Geometry.c
  pixel = length / size
  places = np.full(size, pixel)
  places[0] = pixel * 0.5
  return np.add.accumulate(places).astype(np.int32)


def _along(
  image: Any, axis: int, size: int, params: contract.Resize, xp: ModuleType
) -> Any:
  length = image.shape[axis]
  if length == size:
    return image
  table = weights(length, size, params.method, params.antialias)
  matrix = xp.asarray(table.T, dtype=float)
  moved = xp.moveaxis(image, axis, -1).astype(matrix.dtype)
  mixed = xp.floor(moved @ matrix + 0.5)
  return xp.moveaxis(xp.clip(mixed, 0, 255).astype(xp.uint8), -1, axis)


def weights(length: int, size: int, method: str, antialias: bool) -> np.ndarray:
  """Returns [size, length]: how much each pixel counts in each new one."""
  function, half = _FILTERS[method]
  ratio = length / size
  stretch = max(ratio, 1.0) if antialias else 1.0
  centres = (np.arange(size)[:, None] + 0.5) * ratio
  first = np.maximum(np.floor(centres - half * stretch + 0.5), 0)
  last = np.minimum(np.floor(centres + half * stretch + 0.5), length)
  pixels = np.arange(length)[None]
  inside = (pixels >= first) & (pixels < last)
  table = np.where(inside, function((pixels - centres + 0.5) / stretch), 0)
  table = table / table.sum(1, keepdims=True)
  # in fixed point, which decides where a sum lies between two integers
  return np.copysign(np.floor(np.abs(table) * _ONE + 0.5), table) / _ONE
