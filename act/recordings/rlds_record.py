"""An episode as TensorFlow Datasets stores it: one `tf.train.Example`.

Each feature of the steps is one list that runs over all of them. Features are
found without being read, so that pictures cost nothing until one is wanted; the
wire format is described in `act.example`.

Letters: T steps, D dimensions, N numbers.
"""

import io
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from act.recordings import remedy, rlds_features

STEPS = "steps/"
_BYTES, _FLOATS, _INTEGERS = 1, 2, 3  # the lists of a Feature
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5  # wire types
_LONGEST_VARINT = 10
_LARGEST_PIXELS = 2**26
_FIXED = {_EIGHT: 8, _FOUR: 4}


def features(record: bytes) -> dict[str, memoryview]:
  """Returns the messages of all features; ValueError when it is none."""
  found: dict[str, memoryview] = {}
  for _, features_message in _fields(memoryview(record), (1,)):
    for _, entry in _fields(features_message, (1,)):
      parts = dict(_fields(entry, (1, 2)))
      found[str(parts[1], "utf-8")] = parts.get(2, memoryview(b""))
  return found


def numbers(feature: memoryview, count: int) -> np.ndarray:
  """Returns the `count` floats or integers of a feature; ValueError if not."""
  parts: list[np.ndarray] = []
  for kind, content in _fields(feature, (_FLOATS, _INTEGERS)):
    for _, payload in _fields(content, (1,), packed=kind == _INTEGERS):
      parts.append(
        np.frombuffer(payload, "<f4")
        if kind == _FLOATS
        else _varints(np.frombuffer(payload, np.uint8))
      )
  found = np.concatenate(parts) if parts else np.zeros(0, np.float32)
  if len(found) != count:
    raise ValueError(f"{len(found)} numbers where {count} belong")
  return found


def texts(feature: memoryview) -> list[memoryview]:
  """Returns the byte strings of a feature."""
  lists = _fields(feature, (_BYTES,))
  return [item for _, content in lists for _, item in _fields(content, (1,))]


def count_steps(
  stored: Mapping[str, memoryview], steps: Sequence[rlds_features.Feature]
) -> int:
  """Returns T, as the first feature tells that has a certain size."""
  for feature in steps:
    if STEPS + feature.name not in stored or None in feature.shape:
      continue
    message = stored[STEPS + feature.name]
    if feature.kind in ("image", "text") or feature.encoding != "none":
      return len(texts(message))
    if feature.kind == "tensor" and feature.dtype != "string":
      return _count(message) // max(math.prod(map(int, _known(feature))), 1)
  raise ValueError("no feature tells how many steps there are")


def vector(
  message: memoryview, feature: rlds_features.Feature, length: int
) -> Float[np.ndarray, "T D"]:
  """Returns float32 of a number or tensor of each step, flattened."""
  if feature.encoding != "none":
    rows = texts(message)
    if len(rows) != length:
      raise ValueError(f"{len(rows)} steps, {length} in others")
    dtype = np.dtype(feature.dtype)
    values = np.stack([np.frombuffer(_raw(x, feature), dtype) for x in rows])
    with np.errstate(over="ignore"):  # an infinity is refused by whoever asks
      return values.astype(np.float32)
  width = math.prod(_known(feature))
  if None in feature.shape:
    width *= _count(message) // (max(length, 1) * max(width, 1))
  values = numbers(message, length * width)
  return values.astype(np.float32).reshape(length, width)


def picture(data: memoryview) -> UInt8[np.ndarray, "H W 3"]:
  """Returns a decoded JPEG or PNG; ValueError when it is broken."""
  try:
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
      if image.width * image.height > _LARGEST_PIXELS:
        raise ValueError(f"{image.size} pixels are too many")
      return np.asarray(image.convert("RGB"))
  except (OSError, SyntaxError, Image.DecompressionBombError) as error:
    reason = remedy.cause(error)
    raise ValueError(f"corrupt picture ({reason})") from error


def size(data: memoryview) -> tuple[int, int]:
  """Returns height and width of a JPEG or PNG, without its pixels."""
  try:
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
      return image.height, image.width
  except (OSError, SyntaxError, Image.DecompressionBombError) as error:
    reason = remedy.cause(error)
    raise ValueError(f"corrupt picture ({reason})") from error


def pictures(
  message: memoryview, feature: rlds_features.Feature, length: int
) -> Sequence[memoryview] | UInt8[np.ndarray, "T H W 3"]:
  """Returns what is stored of each step's picture."""
  if feature.kind == "tensor" and feature.encoding == "none":
    shape = (length, *map(int, _known(feature)))
    return numbers(message, math.prod(shape)).astype(np.uint8).reshape(shape)
  found = texts(message)
  if len(found) != length:
    raise ValueError(f"{len(found)} pictures, {length} steps")
  return found


def decode(
  stored: memoryview | np.ndarray, feature: rlds_features.Feature
) -> UInt8[np.ndarray, "H W 3"]:
  """Returns one step's picture of what `pictures` found."""
  if isinstance(stored, np.ndarray):
    return stored
  if feature.kind == "image":
    return picture(stored)
  shape = _known(feature)
  return np.frombuffer(_raw(stored, feature), np.uint8).reshape(shape)


def _known(feature: rlds_features.Feature) -> list[int]:
  return [length for length in feature.shape if length is not None]


def _raw(
  data: memoryview, feature: rlds_features.Feature
) -> bytes | memoryview:
  expected = math.prod(_known(feature)) * np.dtype(feature.dtype).itemsize
  raw: bytes | memoryview = data
  if feature.encoding == "zlib":
    # no more than belongs there, whatever a small file unfolds to
    try:
      raw = zlib.decompressobj().decompress(data, expected + 1)
    except zlib.error as error:
      raise ValueError(f"corrupt zlib ({error})") from error
  if len(raw) != expected:
    raise ValueError(f"{len(raw)} bytes where {expected} belong")
  return raw


def _count(message: memoryview) -> int:
  """Returns how many numbers a feature holds."""
  total = 0
  for kind, content in _fields(message, (_FLOATS, _INTEGERS)):
    for _, payload in _fields(content, (1,), packed=kind == _INTEGERS):
      if kind == _FLOATS:
        total += len(payload) // 4
      else:
        total += int((np.frombuffer(payload, np.uint8) < 0x80).sum())
  return total


def _fields(
  message: memoryview, wanted: Sequence[int], packed: bool = False
) -> Iterator[tuple[int, memoryview]]:
  """Yields number and payload of fields; single varints only if `packed`."""
  position, end = 0, len(message)
  while position < end:
    tag, position = _varint(message, position)
    number, wire = tag >> 3, tag & 7
    start = position
    if wire == _LENGTH:
      length, start = _varint(message, position)
      position = start + length
    elif wire == _VARINT:
      _, position = _varint(message, position)
    elif wire in _FIXED:
      position += _FIXED[wire]
    else:
      raise ValueError(f"unknown wire type {wire}")
    if position > end:
      raise ValueError("the record ends within a field")
    if number in wanted and (wire != _VARINT or packed):
      yield number, message[start:position]


def _varint(message: memoryview, position: int) -> tuple[int, int]:
  value = shift = 0
  while shift < 7 * _LONGEST_VARINT:
    if position >= len(message):
      raise ValueError("the record ends within a number")
    byte = message[position]
    value |= (byte & 0x7F) << shift
    position, shift = position + 1, shift + 7
    if byte < 0x80:
      return value, position
  raise ValueError("a number of more than 64 bits")


def _varints(data: np.ndarray) -> np.ndarray:
  """Returns int64 [N] of numbers written one after the other."""
  ends = np.flatnonzero(data < 0x80) + 1
  if len(data) != (ends[-1] if len(ends) else 0):
    raise ValueError("the record ends within a number")
  starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
  lengths = ends - starts
  if lengths.max(initial=0) > _LONGEST_VARINT:
    raise ValueError("a number of more than 64 bits")
  values = np.zeros(len(ends), np.uint64)
  for index in range(int(lengths.max(initial=0))):
    longer = np.flatnonzero(lengths > index)
    bits = (data[starts[longer] + index] & 0x7F).astype(np.uint64)
    values[longer] |= bits << np.uint64(7 * index)
  return values.view(np.int64)
