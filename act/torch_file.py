"""Reads the tensors of a file that torch.save wrote, and nothing else of it.

Such a file is a pickle, a program that may call any function. This reader runs
no pickle: it walks the opcodes itself, knows the few that a dictionary of
tensors needs, and refuses the rest. Both containers of torch are read: the zip
archive (torch >= 1.6) and the older stream, in which torchvision publishes.
"""

import dataclasses
import io
import math
import pathlib
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any, TypeVar, cast

import numpy as np

from carnet import errors

SIZE_LIMIT = 2 * 1024**3  # bytes of a file; ResNet-152 needs a tenth
PICKLE_LIMIT = 4 * 1024**2  # bytes of the part that is parsed

_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES: dict[str, np.dtype] = {
  "torch DoubleStorage": np.dtype("<f8"),
  "torch FloatStorage": np.dtype("<f4"),
  "torch HalfStorage": np.dtype("<f2"),
  "torch LongStorage": np.dtype("<i8"),
  "torch IntStorage": np.dtype("<i4"),
}
_MARK = object()

T = TypeVar("T")


class _Refused(Exception):
  """The file holds something else than plain tensors."""


@dataclasses.dataclass(frozen=True)
class _Global:
  """A name that the pickle would have imported."""

  name: str


@dataclasses.dataclass(frozen=True)
class _Storage:
  """A flat array of the file."""

  key: str
  dtype: np.dtype
  size: int


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
    if path.stat().st_size > SIZE_LIMIT:
      raise _Refused(f"larger than {SIZE_LIMIT} bytes")
    if zipfile.is_zipfile(path):
      return _read_zip(path)
    return _read_stream(path)
  except FileNotFoundError as error:
    raise errors.UserError(f"{path}: no such file") from error
  except (
    _Refused,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted entry
    zipfile.BadZipFile,
  ) as error:
    raise errors.UserError(
      f"{path}: not a plain dictionary of tensors ({error})"
    ) from error


def _read_zip(path: pathlib.Path) -> dict[str, np.ndarray]:
  with zipfile.ZipFile(path) as archive:
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
      raise _Refused("compressed entries")  # torch stores them as they are
    if sum(entry.file_size for entry in entries) > SIZE_LIMIT:
      raise _Refused(f"more than {SIZE_LIMIT} bytes inside")
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
  return _arrays(tensors, storages)


def _read_stream(path: pathlib.Path) -> dict[str, np.ndarray]:
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
      storages[key] = file.read(storage.size * storage.dtype.itemsize)
  return _arrays(tensors, storages)


def _checked(value: Any, kind: type[T]) -> T:
  # Say the type only: the text or hash of hostile nested values takes for ever.
  if not isinstance(value, kind):
    raise _Refused(f"{type(value).__name__} in place of {kind.__name__}")
  return value


def _tensors(value: Any) -> dict[str, _Tensor]:
  for tensor in _checked(value, dict).values():
    _checked(tensor, _Tensor)
  return value


def _keys(tensors: Mapping[str, _Tensor]) -> set[str]:
  return {tensor.storage.key for tensor in tensors.values()}


def _arrays(
  tensors: Mapping[str, _Tensor], storages: Mapping[str, bytes]
) -> dict[str, np.ndarray]:
  return {
    name: _array(tensor, storages[tensor.storage.key])
    for name, tensor in tensors.items()
  }


def _array(tensor: _Tensor, data: bytes) -> np.ndarray:
  storage = tensor.storage
  if len(data) != storage.size * storage.dtype.itemsize:
    raise _Refused(f"storage {storage.key} is cut short")
  last = tensor.offset + sum(
    (n - 1) * stride
    for n, stride in zip(tensor.shape, tensor.strides, strict=True)
  )
  count = math.prod(tensor.shape)
  if count and (last >= storage.size or count > storage.size):
    raise _Refused("a tensor reaches beyond its storage")
  flat = np.frombuffer(data, storage.dtype)[tensor.offset if count else 0 :]
  return np.lib.stride_tricks.as_strided(
    flat,
    tensor.shape,
    [stride * storage.dtype.itemsize for stride in tensor.strides],
    writeable=False,
  ).copy()


def _interpret(file: io.BufferedIOBase) -> Any:
  """Returns the value of the pickle that starts here, without running it."""
  stack: list[Any] = []
  memo: dict[int, Any] = {}
  start = file.tell()
  for opcode, argument, position in pickletools.genops(cast(IO[bytes], file)):
    if position is not None and position - start > PICKLE_LIMIT:
      raise _Refused(f"more than {PICKLE_LIMIT} bytes to parse")
    if opcode.name == "STOP":
      return stack.pop()
    if opcode.name in _LITERALS:
      stack.append(argument)
    elif opcode.name in ("PROTO", "FRAME"):
      pass
    elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT"):
      memo[_checked(argument, int)] = stack[-1]
    elif opcode.name == "MEMOIZE":
      memo[len(memo)] = stack[-1]
    elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
      stack.append(memo[_checked(argument, int)])
    elif opcode.name == "GLOBAL":
      stack.append(_Global(_checked(argument, str)))
    elif opcode.name in _ACTIONS:
      _ACTIONS[opcode.name](stack)
    else:
      raise _Refused(f"opcode {opcode.name}")
  raise _Refused("no end")


_LITERALS = {
  "BININT",
  "BININT1",
  "BININT2",
  "BINUNICODE",
  "LONG1",
  "SHORT_BINUNICODE",
}


def _pop_to_mark(stack: list[Any]) -> list[Any]:
  items = []
  while (item := stack.pop()) is not _MARK:
    items.append(item)
  return items[::-1]


def _put(count: int) -> Callable[[list[Any]], None]:
  """Returns the action of TUPLE1 to TUPLE3."""

  def action(stack: list[Any]) -> None:
    items = tuple(stack[-count:])
    del stack[-count:]
    stack.append(items)

  return action


def _set_items(stack: list[Any]) -> None:
  items = _pop_to_mark(stack)
  names = [_checked(name, str) for name in items[::2]]
  _checked(stack[-1], dict).update(zip(names, items[1::2], strict=True))


def _set_item(stack: list[Any]) -> None:
  value, name = stack.pop(), stack.pop()
  stack.extend((_MARK, name, value))
  _set_items(stack)


def _append(stack: list[Any], items: list[Any]) -> None:
  _checked(stack[-1], list).extend(items)


def _stack_global(stack: list[Any]) -> None:
  name, module = stack.pop(), stack.pop()
  stack.append(_Global(f"{_checked(module, str)} {_checked(name, str)}"))


def _storage(stack: list[Any]) -> None:
  _, storage_type, key, _, size, *_ = _checked(stack.pop(), tuple)
  name = _checked(storage_type, _Global).name
  if name not in _STORAGES:
    raise _Refused(f"storage type {name}")
  stack.append(
    _Storage(_checked(key, str), _STORAGES[name], _checked(size, int))
  )


def _reduce(stack: list[Any]) -> None:
  arguments = _checked(stack.pop(), tuple)
  name = _checked(stack.pop(), _Global).name
  if name == "collections OrderedDict" and not arguments:
    stack.append({})
  elif name == "torch._utils _rebuild_tensor_v2":
    storage, offset, shape, strides, *_ = arguments
    sizes = [_checked(n, int) for n in (offset, *shape, *strides)]
    if min(sizes) < 0 or len(shape) != len(strides):
      raise _Refused("an impossible shape")
    stack.append(_Tensor(_checked(storage, _Storage), offset, shape, strides))
  elif name == "torch._utils _rebuild_parameter":
    stack.append(arguments[0])
  else:
    raise _Refused(f"a call of {name}")


def _build(stack: list[Any]) -> None:
  """Drops the attributes of the dictionary (torch keeps versions there)."""
  _checked(stack.pop(), dict)
  _checked(stack[-1], dict)


_ACTIONS: dict[str, Callable[[list[Any]], None]] = {
  "APPEND": lambda stack: _append(stack, [stack.pop()]),
  "APPENDS": lambda stack: _append(stack, _pop_to_mark(stack)),
  "BINPERSID": _storage,
  "BUILD": _build,
  "EMPTY_DICT": lambda stack: stack.append({}),
  "EMPTY_LIST": lambda stack: stack.append([]),
  "EMPTY_TUPLE": lambda stack: stack.append(()),
  "MARK": lambda stack: stack.append(_MARK),
  "NEWFALSE": lambda stack: stack.append(False),
  "NEWTRUE": lambda stack: stack.append(True),
  "NONE": lambda stack: stack.append(None),
  "REDUCE": _reduce,
  "SETITEM": _set_item,
  "SETITEMS": _set_items,
  "STACK_GLOBAL": _stack_global,
  "TUPLE": lambda stack: stack.append(tuple(_pop_to_mark(stack))),
  "TUPLE1": _put(1),
  "TUPLE2": _put(2),
  "TUPLE3": _put(3),
}
