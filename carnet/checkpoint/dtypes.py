"""The dtypes that files may name, with their sizes; imports no arrays."""

import math
from collections.abc import Sequence

PYTHON_BYTES = {"python:bool": 1, "python:int": 8, "python:float": 8}
ARRAY_BYTES = {
  **{"bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8},
  **{"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8},
  **{"float16": 2, "float32": 4, "float64": 8},
  **{"complex64": 8, "complex128": 16, "bfloat16": 2},
  **{"float8_e4m3fn": 1, "float8_e5m2": 1},
}
KEY_WORDS = {  # the 32-bit integers behind one typed random key
  **{"key:threefry2x32": 2, "key:rbg": 4, "key:unsafe_rbg": 4},
}
_BYTES = {
  **PYTHON_BYTES,
  **ARRAY_BYTES,
  **{name: 4 * words for name, words in KEY_WORDS.items()},
}


def size_bytes(shape: Sequence[int], dtype: str) -> int:
  """Returns the bytes of a leaf.

  Raises:
    ValueError: the dtype is not in the table, or has no such shape.
  """
  if dtype not in _BYTES:
    raise ValueError(f"unknown dtype '{dtype}'")
  if dtype in PYTHON_BYTES and shape:
    raise ValueError(f"impossible shape {list(shape)} of {dtype}")
  return math.prod(shape) * _BYTES[dtype]
