"""Writes tensors as torch.save does, for tests: a pickle in a zip archive."""

import pathlib
import struct
import zipfile
from collections.abc import Mapping

import numpy as np


def save(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes float32 tensors by name, as `torch.save(module.state_dict())`."""
  rows = b"".join(
    _text(name) + _tensor(str(number), array.shape)
    for number, (name, array) in enumerate(tensors.items())
  )
  # attributes of the dictionary, as those of a module's are kept
  state = b"}" + _text("_metadata") + _DICTIONARY + b"sb"
  program = b"\x80\x02" + _DICTIONARY + b"(" + rows + b"u" + state + b"."
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("policy_best/data.pkl", program)
    archive.writestr("policy_best/byteorder", "little")
    for number, array in enumerate(tensors.values()):
      data = np.ascontiguousarray(array, "<f4").tobytes()
      archive.writestr(f"policy_best/data/{number}", data)


_DICTIONARY = b"ccollections\nOrderedDict\n)R"


def _tensor(key: str, shape: tuple[int, ...]) -> bytes:
  count = int(np.prod(shape))
  strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
  storage = _text("storage") + b"ctorch\nFloatStorage\n" + _text(key)
  storage = b"(" + storage + _text("cuda:0") + _number(count) + b"tQ"
  sizes = _tuple(shape) + _tuple(strides)
  inside = storage + _number(0) + sizes + b"\x89" + _DICTIONARY
  return b"ctorch._utils\n_rebuild_tensor_v2\n(" + inside + b"tR"


def _tuple(numbers: tuple[int, ...] | list[int]) -> bytes:
  return b"(" + b"".join(map(_number, numbers)) + b"t"


def _number(value: int) -> bytes:
  return b"J" + struct.pack("<i", value)


def _text(value: str) -> bytes:
  return b"X" + struct.pack("<I", len(value)) + value.encode()
