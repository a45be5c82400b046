"""What a leaf of an array component can be, and what to do about the rest."""

import dataclasses
import types
from typing import Any

import jax
import ml_dtypes
import numpy as np

from carnet import errors
from carnet.checkpoint import dtypes

# Closed tables: names in a file select from them and import nothing.
PYTHON = {
  "python:bool": (bool, np.bool_),
  "python:int": (int, np.int64),
  "python:float": (float, np.float64),
}
KEYS = tuple(dtypes.KEY_WORDS)
ARRAYS = frozenset(
  np.dtype(d)
  for d in (
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
  )
)
_HELD = (
  "a checkpoint holds arrays of "
  f"{', '.join(sorted(dtype.name for dtype in ARRAYS))}, typed random keys, "
  "bool, int and float"
)
_HOOKS = "or give it state() and load_state(state)"
_SPLIT = "keep it as several, or as text in a component of its own"
_TEXT = "register text as a component of its own"


def is_array(leaf: Any) -> bool:
  """Tells whether a leaf is an array, of JAX or numpy, or stands for one."""
  kinds = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)
  return isinstance(leaf, kinds)


def is_held(leaf: Any) -> bool:
  """Tells whether a numpy array or scalar is of a kind that is held."""
  plain = type(leaf) in (np.ndarray, np.memmap) or isinstance(leaf, np.generic)
  return plain and leaf.dtype in ARRAYS and leaf.dtype.isnative


def refusal(where: str, leaf: Any) -> errors.UserError:
  """Returns the error about a leaf or component that cannot be held.

  Args:
    where: its path.
    leaf: what is there.
  """
  if is_array(leaf):
    what, remedy = _of_array(leaf)
  elif type(leaf) is int:
    number = str(leaf) if leaf.bit_length() < 128 else "of many digits"
    what, remedy = f"the integer {number}, beyond 64 bits", _SPLIT
  else:
    what, remedy = _of_object(leaf)
  return errors.UserError(
    f"{where} is {what}, which an array component cannot hold: {remedy}"
  )


def _of_array(leaf: Any) -> tuple[str, str]:
  dtype, name = leaf.dtype, f"an array of {leaf.dtype.name}"
  if isinstance(dtype, np.dtype) and not dtype.isnative:
    swap = "byte-swap it: array.astype(array.dtype.newbyteorder('='))"
    return f"{name} in a foreign byte order", swap
  if isinstance(leaf, np.ndarray) and dtype in ARRAYS:
    masked = isinstance(leaf, np.ma.MaskedArray)
    parts = "its .data and .mask, as two arrays" if masked else "np.array(it)"
    return f"of type {type(leaf).__name__}", f"register {parts}"
  if getattr(dtype, "names", None):
    fields = "register its fields: {n: array[n] for n in array.dtype.names}"
    return f"a structured array ({name})", fields
  if dtype.kind in "mM":
    return name, "register its integers: array.view('int64')"
  if dtype.kind in "SU":
    return name, f"{_TEXT}, such as array.tolist()"
  return name, f"convert it; {_HELD}"


def _of_object(leaf: Any) -> tuple[str, str]:
  kind = type(leaf)
  what = f"of type {kind.__name__}"
  if isinstance(leaf, str):
    return what, _TEXT
  if isinstance(leaf, bytes | bytearray):
    return what, "register np.frombuffer(it, np.uint8)"
  if isinstance(leaf, complex):
    return what, "use np.complex128(it)"
  if isinstance(leaf, type):
    return f"the class {leaf.__name__}", "register an instance of it"
  if isinstance(leaf, types.ModuleType) or (callable(leaf) and _is_code(leaf)):
    return what, f"register the data that it works on; {_HELD}"
  if isinstance(leaf, types.GeneratorType):
    return what, "use an iterator with get_state() and set_state(state)"
  if dataclasses.is_dataclass(leaf):
    register = "register it as a pytree (jax.tree_util.register_dataclass)"
    return what, f"{register} {_HOOKS}"
  if hasattr(kind, "__next__"):
    return what, "use an iterator with get_state() and set_state(state)"
  if hasattr(kind, "__iter__") or hasattr(kind, "__getitem__"):
    data = "if it is a dataset or data loader, register iter(dataset)"
    return what, f"{data}; otherwise give it state() and load_state(state)"
  return what, f"{_HELD}; leave it out {_HOOKS}"


def _is_code(leaf: Any) -> bool:
  return isinstance(
    leaf, types.FunctionType | types.BuiltinFunctionType | types.MethodType
  )
