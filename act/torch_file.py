"""Reads the tensors of a file that torch.save wrote, and nothing else of it.

Such a file is a pickle, a program that may call any function; it is walked, not
run (`act.pickle_machine`). Both containers of torch are read: the zip archive
(torch >= 1.6) and the older stream, in which torchvision publishes.
"""

import dataclasses
import io
import math
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from act import pickle_machine
from carnet import errors

SIZE_LIMIT = 2 * 1024**3  # bytes of a file; ResNet-152 needs a tenth
PICKLE_LIMIT = 4 * 1024**2  # bytes of the part that is parsed
# Tensors may share a storage, as tied weights do, and each becomes an array of
# its own: together at most this many times the file. Models that share none,
# as ResNet and the original ACT, stay below once.
_MOST_UNFOLDED = 4
_MOST_AXES = 32

_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES: dict[str, np.dtype] = {
  "torch DoubleStorage": np.dtype("<f8"),
  "torch FloatStorage": np.dtype("<f4"),
  "torch HalfStorage": np.dtype("<f2"),
  "torch LongStorage": np.dtype("<i8"),
  "torch IntStorage": np.dtype("<i4"),
}
_Refused = pickle_machine.Refused
_checked = pickle_machine.checked


@dataclasses.dataclass(frozen=True)
class _Storage:
  """A flat array of the file."""

  key: str
  dtype: np.dtype
  size: int

  @property
  def size_bytes(self) -> int:
    """How long it is in the file."""
    return self.size * self.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class _Tensor:
  """A view of a storage; offset and strides in elements."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the named tensors of `path`; UserError for anything else in it."""
  try:
    size = path.stat().st_size
    if size > SIZE_LIMIT:
      raise _Refused(f"larger than {SIZE_LIMIT} bytes")
    if zipfile.is_zipfile(path):
      return _read_zip(path, size)
    return _read_stream(path, size)
  except FileNotFoundError as error:
    raise errors.UserError(f"{path}: no such file") from error
  except (*pickle_machine.ERRORS, zipfile.BadZipFile) as error:
    raise errors.UserError(
      f"{path}: not a plain dictionary of tensors ({error})"
    ) from error


def _read_zip(path: pathlib.Path, size: int) -> dict[str, np.ndarray]:
  with zipfile.ZipFile(path) as archive:
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
      raise _Refused("compressed entries")  # torch stores them as they are
    if sum(entry.file_size for entry in entries) > size:
      raise _Refused("entries that overlap")
    names = [entry.filename for entry in entries]
    pickles = [name for name in names if name.endswith("/data.pkl")]
    if len(pickles) != 1:
      raise _Refused("no data.pkl inside")
    folder = pickles[0].removesuffix("data.pkl")
    order = folder + "byteorder"
    if order in names and archive.read(order) != b"little":
      raise _Refused("big-endian data")
    tensors = _tensors(_interpret(io.BytesIO(archive.read(pickles[0]))))
    storages = {
      key: archive.read(f"{folder}data/{key}") for key in _keys(tensors)
    }
  return _arrays(tensors, storages, size)


def _read_stream(path: pathlib.Path, size: int) -> dict[str, np.ndarray]:
  """Magic, protocol, platform, object, keys (pickles), then the storages."""
  with path.open("rb") as file:
    if _interpret(file) != _STREAM_MAGIC:
      raise _Refused("unknown format")
    _interpret(file)
    platform = _interpret(file)
    if (
      not isinstance(platform, dict)
      or platform.get("little_endian") is not True
    ):
      raise _Refused("not little-endian")
    tensors = _tensors(_interpret(file))
    by_key = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {}
    for key in _checked(_interpret(file), list):
      storage = by_key[_checked(key, str)]
      if int.from_bytes(file.read(8), "little") != storage.size:
        raise _Refused(f"storage {key} has another size than announced")
      if storage.size_bytes > size:
        raise _Refused(f"storage {key} is cut short")
      storages[key] = file.read(storage.size_bytes)
  return _arrays(tensors, storages, size)


def _tensors(value: Any) -> dict[str, _Tensor]:
  for tensor in _checked(value, dict).values():
    _checked(tensor, _Tensor)
  return value


def _keys(tensors: Mapping[str, _Tensor]) -> set[str]:
  return {tensor.storage.key for tensor in tensors.values()}


def _arrays(
  tensors: Mapping[str, _Tensor], storages: Mapping[str, bytes], size: int
) -> dict[str, np.ndarray]:
  budget = pickle_machine.Budget(_MOST_UNFOLDED * size)
  return {
    name: _array(tensor, storages[tensor.storage.key], budget)
    for name, tensor in tensors.items()
  }


def _array(
  tensor: _Tensor, data: bytes, budget: pickle_machine.Budget
) -> np.ndarray:
  storage = tensor.storage
  if len(data) != storage.size_bytes:
    raise _Refused(f"storage {storage.key} is cut short")
  last = tensor.offset + sum(
    (n - 1) * stride
    for n, stride in zip(tensor.shape, tensor.strides, strict=True)
  )
  count = math.prod(tensor.shape)
  if count and (last >= storage.size or count > storage.size):
    raise _Refused("a tensor reaches beyond its storage")
  budget.spend(count * storage.dtype.itemsize)
  flat = np.frombuffer(data, storage.dtype)[tensor.offset if count else 0 :]
  return np.lib.stride_tricks.as_strided(
    flat,
    tensor.shape,
    [stride * storage.dtype.itemsize for stride in tensor.strides],
    writeable=False,
  ).copy()


def _interpret(file: io.BufferedIOBase) -> Any:
  """Returns the value of the pickle that starts here, without running it."""
  return _MACHINE.run(file, PICKLE_LIMIT)


def _storage(identity: tuple[Any, ...]) -> _Storage:
  _, storage_type, key, _, size, *_ = identity
  name = _checked(storage_type, pickle_machine.Global).name
  if name not in _STORAGES:
    raise _Refused(f"storage type {name[:100]}")
  return _Storage(_checked(key, str), _STORAGES[name], _checked(size, int))


def _tensor(
  storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
) -> _Tensor:
  del rest  # whether it wants a gradient, and hooks
  if max(len(shape), len(strides)) > _MOST_AXES:
    raise _Refused("an impossible shape")
  sizes = [_checked(n, int) for n in (offset, *shape, *strides)]
  if min(sizes) < 0 or len(shape) != len(strides):
    raise _Refused("an impossible shape")
  return _Tensor(_checked(storage, _Storage), offset, shape, strides)


def _parameter(tensor: Any, *rest: Any) -> Any:
  del rest
  return tensor


def _ordered_dict() -> dict[str, Any]:
  return {}  # torch fills it afterwards


_MACHINE = pickle_machine.Machine(
  calls={
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
  },
  literals=frozenset(
    {
      *("BININT", "BININT1", "BININT2", "LONG1"),
      *("BINUNICODE", "SHORT_BINUNICODE"),
    }
  ),
  persistent=_storage,
)
