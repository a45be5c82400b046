"""Transforms of one float32 image in 0..1, defined as torchvision's.

Colour works on values as they are (no gamma), grey is 0.2989 R + 0.587 G +
0.114 B, and results are clipped to 0..1. torchvision rounds uint8 images after
each transform; these do not round.

Letters: H, W image.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Image = Float[Array, "H W 3"]
Scalar = Float[Array, ""]

_GREY = np.array([0.2989, 0.587, 0.114], np.float32)
_BLUR = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13.0


def brightness(image: Image, factor: Scalar) -> Image:
  """Scales all values."""
  return jnp.clip(image * factor, 0.0, 1.0)


def contrast(image: Image, factor: Scalar) -> Image:
  """Blends with the mean grey of the image; 0 is that grey, 1 the image."""
  return _blend(image, jnp.mean(_grey(image)), factor)


def saturation(image: Image, factor: Scalar) -> Image:
  """Blends with the grey image; 0 is grey, 1 the image."""
  return _blend(image, _grey(image), factor)


def hue(image: Image, turns: Scalar) -> Image:
  """Turns the hue of HSV by so many turns."""
  value = jnp.max(image, axis=-1)
  chroma = value - jnp.min(image, axis=-1)
  safe = jnp.where(chroma == 0, 1.0, chroma)
  red, green, blue = (image[..., channel] for channel in range(3))
  sixths = jnp.where(
    value == red,
    (green - blue) / safe,
    jnp.where(
      value == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe
    ),
  )
  sixths = sixths + 6.0 * turns
  # HSV to RGB: channel n falls from its plateau along a trapezium of the hue,
  # https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
  channels = []
  for n in (5.0, 3.0, 1.0):
    k = jnp.mod(n + sixths, 6.0)
    fall = jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)
    channels.append(value - chroma * fall)
  return jnp.stack(channels, axis=-1)


def sharpness(image: Image, factor: Scalar) -> Image:
  """Blends with a 3x3 blur, whose one-pixel border is the image's."""
  height, width, _ = image.shape
  blurred = jnp.zeros((height - 2, width - 2, 3), image.dtype)
  for row in range(3):
    for column in range(3):
      part = image[row : row + height - 2, column : column + width - 2]
      blurred = blurred + _BLUR[row, column] * part
  return _blend(image, image.at[1:-1, 1:-1].set(blurred), factor)


def resample(
  image: Image,
  radians: Scalar,
  shift: Float[Array, "2"],
  scale: Scalar,
  offset: Float[Array, "2"],
) -> Image:
  """Crops, then rotates about the centre and shifts, sampling once.

  The crop keeps `scale` of either side around a point `offset` pixels (down,
  right) from the centre. Positive angles turn the picture clockwise; `shift`
  is in pixels (down, right). Bilinear, and black from outside the image.
  """
  height, width, _ = image.shape
  centre = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
  rows = jnp.arange(height, dtype=jnp.float32)[:, None] - centre[0]
  columns = jnp.arange(width, dtype=jnp.float32)[None, :] - centre[1]
  # from a place in the result back to its source
  down, right = rows * scale + offset[0], columns * scale + offset[1]
  down, right = down - shift[0], right - shift[1]
  cosine, sine = jnp.cos(radians), jnp.sin(radians)
  source_row = cosine * down - sine * right + centre[0]
  source_column = sine * down + cosine * right + centre[1]
  return _bilinear(image, source_row, source_column)


def _bilinear(
  image: Image, rows: Float[Array, "H W"], columns: Float[Array, "H W"]
) -> Image:
  height, width, _ = image.shape
  top, left = jnp.floor(rows), jnp.floor(columns)
  out = jnp.zeros_like(image)
  for down in (0.0, 1.0):
    for right in (0.0, 1.0):
      row, column = top + down, left + right
      weight = (1.0 - jnp.abs(rows - row)) * (1.0 - jnp.abs(columns - column))
      inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
      i = jnp.clip(row, 0, height - 1).astype(jnp.int32)
      j = jnp.clip(column, 0, width - 1).astype(jnp.int32)
      out = out + jnp.where(inside, weight, 0.0)[..., None] * image[i, j]
  return out


def _grey(image: Image) -> Float[Array, "H W 1"]:
  return jnp.sum(image * _GREY.reshape(1, 1, 3), axis=-1, keepdims=True)


def _blend(image: Image, other: jax.Array, factor: Scalar) -> Image:
  return jnp.clip(factor * image + (1.0 - factor) * other, 0.0, 1.0)
