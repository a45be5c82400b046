"""How one camera frame is stored: JPEG, or raw bytes when it is small."""

import io
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from act.recordings import remedy

Encoding = Literal["jpeg", "raw"]

JPEG_QUALITY = 90  # 48 dB on these scenes
# Below this many pixels JPEG blurs objects that are three pixels wide.
_RAW_BELOW_PIXELS = 128 * 128


def choose(height: int, width: int) -> Encoding:
  """Returns the encoding for frames of this size."""
  return "raw" if height * width < _RAW_BELOW_PIXELS else "jpeg"


def encode(
  image: UInt8[np.ndarray, "H W 3"],
  encoding: Encoding,
  quality: int = JPEG_QUALITY,
) -> bytes:
  """Returns the stored bytes of a frame; `quality` is that of a JPEG."""
  if encoding == "raw":
    return image.tobytes()
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "JPEG", quality=quality)
  return buffer.getvalue()


def decode(
  data: bytes, encoding: Encoding, out: UInt8[np.ndarray, "H W 3"]
) -> None:
  """Decodes a frame into `out`; ValueError when it is broken or misshapen."""
  if encoding == "raw":
    if len(data) != out.nbytes:
      raise ValueError(f"{len(data)} bytes where {out.nbytes} belong")
    out[...] = np.frombuffer(data, np.uint8).reshape(out.shape)
    return
  try:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
      image.draft("RGB", None)
      pixels = np.asarray(image)
  except (OSError, SyntaxError) as error:  # Pillow's words for a broken file
    raise ValueError(f"corrupt JPEG ({remedy.cause(error)})") from error
  if pixels.shape != out.shape:
    raise ValueError(f"JPEG of shape {pixels.shape}, expected {out.shape}")
  out[...] = pixels
