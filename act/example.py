"""The wire format of `tf.train.Example`, as far as the dataset needs it.

TensorFlow Datasets reads these records. Its own serialiser costs a second of
import in every worker and orders a map's entries as it likes; these lines
write equal records with the same bytes every time, and find one image in a
record without parsing the rest (https://protobuf.dev/programming-guides/encoding).

    Example   { Features features = 1 }
    Features  { map<string, Feature> feature = 1 }
    Feature   { BytesList = 1 | FloatList = 2 | Int64List = 3 }, value = 1 each
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

_FIRST, _SECOND, _THIRD = b"\x0a", b"\x12", b"\x1a"  # length-delimited fields


def encode(features: Mapping[str, bytes | np.ndarray]) -> bytes:
  """Returns the record of named bytes, float32, bool and integer arrays."""
  entries = bytearray()
  for name, value in features.items():
    entry = _field(_FIRST, name.encode()) + _field(_SECOND, _feature(value))
    entries += _field(_FIRST, entry)
  return _field(_FIRST, bytes(entries))


def find(record: bytes, name: str) -> bytes:
  """Returns the bytes stored under `name`; ValueError when there are none."""
  return _find(record, name, _FIRST)


def find_floats(record: bytes, name: str) -> Float[np.ndarray, " N"]:
  """Returns the numbers stored under `name`; ValueError when there are none."""
  return np.frombuffer(_find(record, name, _SECOND), "<f4")


def _find(record: bytes, name: str, kind: bytes) -> bytes:
  key = name.encode()
  try:
    position, end = _open(record, 0, _FIRST)  # the Features message
    while position < end:
      start, after = _open(record, position, _FIRST)  # one map entry
      key_start, key_end = _open(record, start, _FIRST)
      if record[key_start:key_end] == key:
        for tag in (_SECOND, kind, _FIRST):  # Feature, its list, value
          key_end, stop = _open(record, key_end, tag)
        return record[key_end:stop]
      position = after
  except IndexError as error:
    raise ValueError(f"the record ends within '{name}'") from error
  raise ValueError(f"the record holds no '{name}'")


def _feature(value: bytes | np.ndarray) -> bytes:
  if isinstance(value, bytes):
    return _field(_FIRST, _field(_FIRST, value))
  if value.dtype == np.float32:
    packed = np.asarray(value, "<f4").tobytes()
    return _field(_SECOND, _field(_FIRST, packed))
  if value.dtype == np.bool_ or np.issubdtype(value.dtype, np.integer):
    # a negative integer is written as its two's complement of 64 bits
    packed = b"".join(_varint(int(v) & (2**64 - 1)) for v in value.flat)
    return _field(_THIRD, _field(_FIRST, packed))
  raise TypeError(f"no wire type for {value.dtype}")


def _field(tag: bytes, payload: bytes) -> bytes:
  return tag + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
  out = bytearray()
  while value > 0x7F:
    out.append(value & 0x7F | 0x80)
    value >>= 7
  out.append(value)
  return bytes(out)


def _open(record: bytes, position: int, tag: bytes) -> tuple[int, int]:
  """Returns where the payload of the field at `position` starts and ends."""
  if record[position] != tag[0]:
    raise ValueError(f"unexpected field tag {record[position]:#x}")
  length = shift = 0
  while True:
    position += 1
    byte = record[position]
    length |= (byte & 0x7F) << shift
    if byte < 0x80:
      break
    shift += 7
  start, end = position + 1, position + 1 + length
  if end > len(record):
    raise IndexError
  return start, end
