"""Reads the arrays of a pickled dictionary, and nothing else of it.

The original ACT keeps its statistics so (`dataset_stats.pkl`). The pickle is
walked, not run (`act.pickle_machine`): arrays of numbers and numbers are taken
(protocols 2 to 5, as numpy 1 and 2 write them), other plain data are left
out, and anything that would call another function is refused.
"""

import dataclasses
import functools
import io
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from act import pickle_machine
from carnet import errors

SIZE_LIMIT = 64 * 1024**2  # bytes of a file; statistics need a thousandth
_MOST_AXES = 32

_Refused = pickle_machine.Refused
_checked = pickle_machine.checked
# kind and bytes of an element; no objects, no text, no records
_CODES = frozenset(
  {"b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}
)


@dataclasses.dataclass
class _Type:
  """An element type; its byte order comes after it was made."""

  dtype: np.dtype


@dataclasses.dataclass
class _Array:
  """An array; its numbers come after it was made."""

  value: np.ndarray | None = None


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the named arrays of `path`, scalars without axes.

  Raises:
    UserError: it is no such dictionary, or holds anything that is not plain.
  """
  try:
    with path.open("rb") as file:
      content = file.read(SIZE_LIMIT + 1)
    if len(content) > SIZE_LIMIT:
      raise _Refused(f"larger than {SIZE_LIMIT} bytes")
    # honest files have each byte of an array once, as it is or as text
    budget = pickle_machine.Budget(len(content))
    found = _machine(budget).run(io.BytesIO(content), SIZE_LIMIT)
    values = _checked(found, dict).items()
    arrays = {name: _plain(value) for name, value in values}
  except FileNotFoundError as error:
    raise errors.UserError(f"{path}: no such file") from error
  except pickle_machine.ERRORS as error:
    raise errors.UserError(
      f"{path}: not a plain dictionary of arrays ({error})"
    ) from error
  return {name: array for name, array in arrays.items() if array is not None}


def _plain(value: Any) -> np.ndarray | None:
  if isinstance(value, _Array):
    if value.value is None:
      raise _Refused("an array without numbers")
    return value.value
  return np.asarray(value) if isinstance(value, bool | int | float) else None


def _type(code: Any, *rest: Any) -> _Type:
  del rest  # whether it is aligned, and copied
  if _checked(code, str) not in _CODES:
    raise _Refused("elements that are no numbers")
  return _Type(np.dtype(code))


def _empty(kind: Any, *rest: Any) -> _Array:
  del rest  # a shape and a type that do not count
  if _checked(kind, pickle_machine.Global).name != "numpy ndarray":
    raise _Refused("a subclass of arrays")
  return _Array()


def _scalar(kind: Any, data: Any) -> _Array:
  return _Array(_filled((), kind, data, fortran=False))


def _from_buffer(
  budget: pickle_machine.Budget, data: Any, kind: Any, shape: Any, order: Any
) -> _Array:
  if order not in ("C", "F"):
    raise _Refused("an order of numbers that nobody knows")
  if isinstance(data, bytearray):
    budget.spend(len(data))
    data = bytes(data)
  return _Array(_filled(shape, kind, data, fortran=order == "F"))


def _filled(shape: Any, kind: Any, data: Any, fortran: bool) -> np.ndarray:
  dtype = _checked(kind, _Type).dtype
  if len(_checked(shape, tuple)) > _MOST_AXES:
    raise _Refused("an impossible shape")
  sizes = [_checked(n, int) for n in shape]
  if min(sizes, default=0) < 0:
    raise _Refused("an impossible shape")
  if math.prod(sizes) * dtype.itemsize != len(_checked(data, bytes)):
    raise _Refused("an array of another size than its shape")
  flat = np.frombuffer(data, dtype)
  return flat.reshape(sizes, order="F" if fortran else "C")


def _build(value: Any, state: Any) -> None:
  if isinstance(value, _Type):
    version, order, *rest = _checked(state, tuple)
    parts = rest[:3]  # of a record, which this is not
    if version != 3 or order not in ("<", ">", "=", "|") or any(parts):
      raise _Refused("elements that are no numbers")
    value.dtype = value.dtype.newbyteorder(order)
  elif isinstance(value, _Array):
    _, shape, kind, fortran, data = _checked(state, tuple)
    value.value = _filled(shape, kind, data, _checked(fortran, bool))
  else:
    raise _Refused(f"a state of {type(value).__name__}")


def _encoded(budget: pickle_machine.Budget, text: Any, encoding: Any) -> bytes:
  """Returns bytes, which protocol 2 writes as text of as many letters."""
  if encoding != "latin1":
    raise _Refused("bytes in a strange encoding")
  budget.spend(len(_checked(text, str)))
  return text.encode("latin1")


def _no_bytes() -> bytes:
  return b""


_LITERALS = frozenset(
  {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
  }
)


def _machine(budget: pickle_machine.Budget) -> pickle_machine.Machine:
  """Returns what reads one file."""
  of_multiarray: dict[str, Callable[..., Any]] = {
    "multiarray _reconstruct": _empty,
    "multiarray scalar": _scalar,
    "numeric _frombuffer": functools.partial(_from_buffer, budget),
  }
  return pickle_machine.Machine(
    calls={
      "_codecs encode": functools.partial(_encoded, budget),
      "__builtin__ bytes": _no_bytes,
      "numpy dtype": _type,
      **{
        f"{package}.{name}": call
        for package in ("numpy.core", "numpy._core")
        for name, call in of_multiarray.items()
      },
    },
    literals=_LITERALS,
    build=_build,
  )
