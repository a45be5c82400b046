"""Compares a shard that was just written with what it was made of."""

import math
import pathlib
from collections.abc import Mapping

import numpy as np
from array_record.python import array_record_module
from jaxtyping import Float, Int, UInt8
from PIL import Image

from act import example, image_codec

# Annex K of the JPEG standard: the first numbers of its tables.
_LUMA_STEP, _CHROMA_STEP = 16, 17
_HIGHEST_FLOOR = 25.0
_BLOCK = 16  # pixels that share one value of colour, in 4:2:0


def check(
  shard: pathlib.Path,
  positions: Int[np.ndarray, " B"],
  images: Mapping[str, UInt8[np.ndarray, "B H W 3"]],
  vectors: Mapping[str, Float[np.ndarray, "B D"]],
  quality: int,
) -> None:
  """Raises RuntimeError unless the records hold these, as they are read.

  Vectors and raw pictures are bit-equal. A JPEG is what the encoder makes of
  the source's picture, byte by byte, which tells any two pictures apart; and
  what it decodes to is that picture, see `floor`, which tells a broken encoder.
  """
  reader = array_record_module.ArrayRecordReader(
    str(shard), "readahead_buffer_size:0,max_parallelism:0"
  )
  records = reader.read(positions.tolist())
  for row, (position, record) in enumerate(
    zip(positions.tolist(), records, strict=True)
  ):
    for name, matrix in vectors.items():
      found = example.find_floats(record, name)
      if found.tobytes() != np.asarray(matrix[row], "<f4").tobytes():
        raise _differs(shard, position, name)
    for name, pixels in images.items():
      _check_image(shard, position, name, record, pixels[row], quality)
  reader.close()


def floor(quality: int) -> float:
  """Returns the least PSNR, in dB, of pictures shrunk 16-fold.

  There a JPEG keeps nothing but the mean of each block, to half a step of its
  quantiser divided by 8 (ITU-T T.81, A.3.3): the error is at most that of the
  brightness and 1.772 times that of the colour, and 2 levels for rounding. Of
  quality 90 that is 36 dB. Colours that change from pixel to pixel and are cut
  at 0 and 255 lose more, the worst that were tried 28.6 dB at quality 50: no
  more than 25 dB, an error of 14 levels, is asked. Another scene, or red for
  blue in one with colours, is below that; the bytes tell the rest.
  """
  worst = _error(_LUMA_STEP, quality) + 1.772 * _error(_CHROMA_STEP, quality)
  return min(_HIGHEST_FLOOR, 20 * math.log10(255 / (worst + 2)))


def _error(step: int, quality: int) -> float:
  """Returns how far the mean of a block may be off; libjpeg scales steps so."""
  scale = 5000 / quality if quality < 50 else 200.0 - 2 * quality
  scaled = (step * scale + 50) // 100
  return (1.0 if scaled < 1 else 255.0 if scaled > 255 else scaled) / 16


def psnr(
  one: UInt8[np.ndarray, "H W 3"], two: UInt8[np.ndarray, "H W 3"]
) -> float:
  """Returns that of two pictures, both shrunk 16-fold, in dB."""
  small = [
    np.asarray(Image.fromarray(x).reduce(_BLOCK), np.float64)
    for x in (one, two)
  ]
  error = float(np.mean((small[0] - small[1]) ** 2))
  return float(10 * np.log10(255**2 / max(error, 1e-10)))


def _check_image(
  shard: pathlib.Path,
  position: int,
  name: str,
  record: bytes,
  source: UInt8[np.ndarray, "H W 3"],
  quality: int,
) -> None:
  encoding = image_codec.choose(*source.shape[:2])
  data = example.find(record, f"images/{name}")
  decoded = np.empty_like(source)
  try:
    image_codec.decode(data, encoding, decoded)
  except ValueError as error:
    raise _differs(shard, position, name) from error
  if data != image_codec.encode(source, encoding, quality):
    raise _differs(shard, position, name)
  if encoding == "raw":
    same = np.array_equal(decoded, source)
  else:
    same = psnr(decoded, source) >= floor(quality)
  if not same:
    raise _differs(shard, position, name)


def _differs(shard: pathlib.Path, position: int, name: str) -> RuntimeError:
  return RuntimeError(
    f"{shard}: '{name}' of frame {position} is not what was written: the disk "
    "or the memory of this machine alters data"
  )
