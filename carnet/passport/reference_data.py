"""The reference frames of a checkpoint: looked at first, then decoded.

The size that a PNG declares is read from its first bytes and compared before a
pixel is decoded, so that a small file cannot fill the memory.
"""

import dataclasses
import io
import pathlib
import struct
import tokenize
import weakref

import numpy as np

from carnet import errors
from carnet.checkpoint import plain_file
from carnet.passport import context as context_lib
from carnet.passport import contract, history, npy

MOST_FRAMES = 1000
LARGEST_PIXELS = 1 << 24  # 4096 x 4096
_MOST_PIXELS = 1 << 27  # of all cameras: six of ten frames of 1920 x 1080
_LARGEST_BYTES = 1 << 26  # of one file
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_decoded: weakref.WeakKeyDictionary[
  context_lib.Context, dict[str, np.ndarray]
] = weakref.WeakKeyDictionary()
# colour types of the PNG specification, 11.2.2: channels
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


@dataclasses.dataclass(frozen=True)
class Header:
  """What the first bytes of a PNG say."""

  height: int
  width: int
  channels: int
  bits: int

  @property
  def shape(self) -> tuple[int, int, int]:
    """[H, W, C]."""
    return self.height, self.width, self.channels


def frame_path(
  vector: history.ReferenceVector, image: contract.Image, index: int
) -> str:
  """Returns where a camera's frame lies in the checkpoint."""
  return f"{vector.input_images_path}/{image.short_key}_{index:03d}.png"


def header(content: bytes, name: str) -> Header:
  """Returns what a PNG declares.

  Raises:
    UserError: it is no PNG, or of colours that no camera gives.
  """
  if len(content) < 33 or content[:8] != _SIGNATURE:
    raise errors.UserError(f"{name} is no PNG file")
  length, kind = struct.unpack(">I4s", content[8:16])
  width, height, bits, colour = struct.unpack(">IIBB", content[16:26])
  if kind != b"IHDR" or length != 13 or colour not in _CHANNELS:
    raise errors.UserError(f"{name} is a PNG of an unknown kind")
  return Header(height, width, _CHANNELS[colour], bits)


def read(found: context_lib.Context, name: str) -> bytes:
  """Returns the bytes of a frame's file.

  Raises:
    UserError: not there, behind a link, or too large.
  """
  return plain_file.read(found.inside(name), _LARGEST_BYTES)


def picture(content: bytes, name: str) -> np.ndarray:
  """Returns the pixels of a PNG, uint8 [H, W, C]; its size is checked first.

  Raises:
    UserError: no PNG of 8 bits, too large, or damaged.
  """
  import PIL.Image  # a robot that checks no frames does without

  declared = header(content, name)
  pixels = declared.height * declared.width
  if not 0 < pixels <= LARGEST_PIXELS or declared.bits != 8:
    raise errors.UserError(
      f"{name} declares {declared.height} x {declared.width} pixels of "
      f"{declared.bits} bits: at most {LARGEST_PIXELS} of 8 are decoded"
    )
  try:
    with PIL.Image.open(io.BytesIO(content), formats=("PNG",)) as image:
      array = np.asarray(image)
  except (OSError, ValueError, SyntaxError, struct.error) as error:
    raise errors.UserError(f"{name} is a damaged PNG: {error}") from error
  array = array.reshape((*array.shape, 1)) if array.ndim == 2 else array
  if array.dtype != np.uint8 or array.shape != declared.shape:
    raise errors.UserError(
      f"{name} holds {array.dtype} {list(array.shape)}, its header declares "
      f"uint8 {list(declared.shape)}"
    )
  return array


def frames(
  found: context_lib.Context,
  vector: history.ReferenceVector,
  image: contract.Image,
) -> np.ndarray:
  """Returns a camera's frames, uint8 [F, H, W, C], decoded once for a context.

  Raises:
    UserError: one is missing or damaged, they differ in size, or are too many.
  """
  known = _decoded.setdefault(found, {})
  if image.key not in known:
    spent = sum(x.shape[0] * x.shape[1] * x.shape[2] for x in known.values())
    known[image.key] = _frames(found, vector, image, _MOST_PIXELS - spent)
  return known[image.key]


def _frames(
  found: context_lib.Context,
  vector: history.ReferenceVector,
  image: contract.Image,
  budget: int,
) -> np.ndarray:
  check_count(vector)
  pictures: list[np.ndarray] = []
  for index in range(vector.n_frames):
    name = frame_path(vector, image, index)
    pictures.append(picture(read(found, name), name))
    height, width, _ = pictures[0].shape
    if vector.n_frames * height * width > budget:
      raise errors.UserError(
        f"{vector.n_frames} frames of {height} x {width} pixels of "
        f"'{image.key}': at most {_MOST_PIXELS} pixels are decoded in all"
      )
  if len({one.shape for one in pictures}) > 1:
    raise errors.UserError(f"the frames of '{image.key}' differ in size")
  return np.stack(pictures)


def array(found: context_lib.Context, name: str) -> np.ndarray:
  """Returns an array of the checkpoint.

  Raises:
    UserError: not there, or no sound .npy file, its header included.
  """
  try:
    return npy.read(found, name)
  except (tokenize.TokenError, SyntaxError, RecursionError) as error:
    raise errors.UserError(f"{name} has a broken header") from error


def matrix(found: context_lib.Context, name: str) -> np.ndarray:
  """Returns recorded vectors, [F, D].

  Raises:
    UserError: not there, damaged, or no numbers [frames, dimensions].
  """
  values = array(found, name)
  if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
    raise errors.UserError(
      f"{name} is {values.dtype} {list(values.shape)}, not numbers "
      "[frames, dimensions]"
    )
  return values.astype(np.float64)


def check_count(vector: history.ReferenceVector) -> None:
  """Raises UserError for more frames than anybody records."""
  if vector.n_frames > MOST_FRAMES:
    raise errors.UserError(
      f"{vector.n_frames} reference frames: at most {MOST_FRAMES} are read"
    )


def names(
  vector: history.ReferenceVector, images: tuple[contract.Image, ...]
) -> dict[str, str]:
  """Returns the recorded sha256 of every file of the reference data, by path.

  Raises:
    UserError: as `check_count`.
  """
  check_count(vector)
  rows = {vector.expected_actions_path: vector.expected_actions_hash}
  if vector.input_state_path and vector.input_state_hash:
    rows[vector.input_state_path] = vector.input_state_hash
  for image in images:
    hashes = vector.input_images_hash.get(image.short_key, ())
    for index, sha256 in enumerate(hashes):
      rows[frame_path(vector, image, index)] = sha256
  return {pathlib.PurePosixPath(path).as_posix(): x for path, x in rows.items()}
