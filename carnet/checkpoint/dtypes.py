"""The dtypes that files may name, with their sizes; imports no JAX."""

import math
from collections.abc import Sequence

import ml_dtypes
import numpy as np

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
# As .safetensors calls them; a closed table, from which a name selects.
SAFETENSORS = {
  **{"BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32},
  **{"U64": np.uint64, "I8": np.int8, "I16": np.int16, "I32": np.int32},
  **{"I64": np.int64, "F16": np.float16, "F32": np.float32},
  **{"F64": np.float64, "C64": np.complex64, "BF16": ml_dtypes.bfloat16},
  **{"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2},
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
