"""Leaves of an array component: what they are, copied out, and put back.

A typed random key is stored as the integers behind it and a Python number as
an array without axes; the dtype that the manifest records tells them apart.
"""

import dataclasses
from typing import Any

import jax
import ml_dtypes
import numpy as np

from carnet import errors

# A closed table: names in a file select from it and import nothing.
_PYTHON = {
  "python:bool": (bool, np.bool_),
  "python:int": (int, np.int64),
  "python:float": (float, np.float64),
}
_KEYS = ("key:threefry2x32", "key:rbg", "key:unsafe_rbg")
_ARRAYS = frozenset(
  np.dtype(d)
  for d in (
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
  )
)


_JSON = "json"
_CHUNKS = "chunks"


@dataclasses.dataclass(frozen=True)
class Spec:
  """Shape and dtype of a leaf, the dtype as the manifest names it.

  `weak` is JAX's weak type: without it a resumed program would promote to
  other dtypes than the one that went on. It is no reason to refuse a leaf.
  """

  shape: tuple[int, ...]
  dtype: str
  weak: bool = dataclasses.field(default=False, compare=False)

  def __str__(self) -> str:
    return f"{self.dtype}{list(self.shape)}"

  def accepts(self, stored: "Spec") -> bool:
    """Tells whether a stored leaf may take this leaf's place.

    Python numbers and arrays without axes of the same kind stand for each
    other: a step counter often starts as 0 and becomes an array under jit.
    """
    if self == stored:
      return True
    python = self.dtype in _PYTHON or stored.dtype in _PYTHON
    return (
      python and self.shape == stored.shape and _kind(self) == _kind(stored)
    )


JSON = Spec((), _JSON)  # a JSON component, which is one leaf
CHUNKS = Spec((), _CHUNKS)  # so is one that is made of chunks
WHOLE = (JSON, CHUNKS)


@dataclasses.dataclass(frozen=True)
class Shards:
  """The parts of an array that this process has to save.

  Each part comes with its place: one (start, stop) for each axis.
  """

  shape: tuple[int, ...]
  dtype: np.dtype
  parts: tuple[tuple[tuple[tuple[int, int], ...], np.ndarray], ...]

  def assemble(self) -> np.ndarray:
    """Returns the whole array.

    Raises:
      ValueError: the parts do not cover it exactly.
    """
    covered = sum(part.size for _, part in self.parts)
    whole = np.empty(self.shape, self.dtype)
    if covered != whole.size:
      raise ValueError(f"{covered} of {whole.size} elements are there")
    for place, part in self.parts:
      whole[tuple(slice(*ends) for ends in place)] = part
    return whole


def is_array(leaf: Any) -> bool:
  """Tells whether a leaf is an array, of JAX or numpy, or stands for one."""
  kinds = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)
  return isinstance(leaf, kinds)


def spec(leaf: Any, where: str) -> Spec:
  """Returns what `leaf` is; messages call it `where`.

  Raises:
    UserError: a leaf of this kind would not come back as it is.
  """
  if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      dtype = f"key:{_impl(leaf)}"
      return _known(Spec(leaf.shape, dtype), dtype in _KEYS, where)
  elif type(leaf) is not np.ndarray and not isinstance(leaf, np.generic):
    for dtype, (python, _) in _PYTHON.items():
      if type(leaf) is python:
        return Spec((), dtype)
    raise _refusal(where, f"a {type(leaf).__name__}")
  weak = bool(getattr(leaf, "weak_type", False))
  found = Spec(tuple(leaf.shape), leaf.dtype.name, weak)
  known = leaf.dtype in _ARRAYS and leaf.dtype.isnative
  return _known(found, known, where)


def snapshot(leaf: Any, where: str) -> np.ndarray | Shards:
  """Returns the leaf's present content, or the parts of it that lie here.

  What the caller does to the leaf afterwards, donation included, does not
  show: numpy memory is copied here, JAX memory is held.

  Raises:
    UserError: the leaf has no content to read: it is abstract or donated.
  """
  if isinstance(leaf, jax.ShapeDtypeStruct):
    raise errors.UserError(f"{where} is abstract: there is nothing to save")
  if not isinstance(leaf, jax.Array):
    return _host(leaf, where)
  if leaf.is_deleted():
    raise errors.UserError(
      f"{where} was donated or deleted: update the registered value after "
      "each training step"
    )
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    leaf = jax.random.key_data(leaf)
  if leaf.is_fully_replicated:
    return np.asarray(leaf)
  parts = tuple(
    (_ends(shard.index, leaf.shape), np.asarray(shard.data))
    for shard in leaf.addressable_shards
    if shard.replica_id == 0
  )
  return Shards(leaf.shape, leaf.dtype, parts)


def prefetch(leaf: Any) -> None:
  """Starts the copy of a JAX array to the host."""
  if isinstance(leaf, jax.Array) and not leaf.is_deleted():
    leaf.copy_to_host_async()


def stored(spec: Spec) -> tuple[tuple[int, ...] | None, np.dtype]:
  """Returns shape and dtype of the array that stands for a leaf in a file.

  The shape is None where the random generator decides it.

  Raises:
    ValueError: the dtype is not in the table.
  """
  if spec.dtype in _PYTHON:
    return (), np.dtype(_PYTHON[spec.dtype][1])
  if spec.dtype in _KEYS:
    return None, np.dtype(np.uint32)
  for dtype in _ARRAYS:
    if dtype.name == spec.dtype:
      return spec.shape, dtype
  raise ValueError(f"unknown dtype '{spec.dtype}'")


def key_shape(dtype: str) -> tuple[int, ...]:
  """Returns the shape of the integers behind one typed random key."""
  key = jax.random.key(0, impl=dtype.removeprefix("key:"))
  return jax.random.key_data(key).shape


def plain(array: np.ndarray, spec: Spec) -> Any:
  """Returns a leaf for readers without a target: numpy, or a typed key."""
  if spec.dtype in _KEYS:
    impl = spec.dtype.removeprefix("key:")
    return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=impl)
  if spec.dtype in _PYTHON:
    return _PYTHON[spec.dtype][0](array)
  return array


def rebuild(array: np.ndarray, spec: Spec, target: Any) -> Any:
  """Returns the stored `array` as a leaf of the target's kind and sharding.

  An array that stands where the target has a Python number stays an array.
  """
  leaf = plain(array, spec)
  if isinstance(target, jax.Array | jax.ShapeDtypeStruct):
    if not isinstance(leaf, jax.Array):
      leaf = np.asarray(leaf, target.dtype)
    placed = _place(leaf, target)
    return _weaken(placed) if spec.weak else placed
  if isinstance(target, np.ndarray):
    return np.asarray(leaf, target.dtype)
  if isinstance(target, np.generic):
    return target.dtype.type(leaf[()] if is_array(leaf) else leaf)
  return leaf


def _impl(leaf: Any) -> str:
  return str(jax.random.key_impl(leaf))


def _place(leaf: Any, target: Any) -> jax.Array:
  sharding = target.sharding
  # An uncommitted array follows the arrays it meets; a committed one does
  # not, so the target decides. No sharding means the default device.
  if isinstance(target, jax.Array) and not target.committed:
    sharding = None
  if sharding is not None and not sharding.is_fully_addressable:
    return _spread(leaf, sharding)
  return jax.device_put(leaf, sharding)


def _spread(leaf: Any, sharding: jax.sharding.Sharding) -> jax.Array:
  """Returns a global array of which each process fills the shards it holds."""
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    data = np.asarray(jax.random.key_data(leaf))
    return jax.random.wrap_key_data(_spread(data, sharding), impl=_impl(leaf))
  return jax.make_array_from_callback(
    leaf.shape, sharding, lambda index: leaf[index]
  )


def _weaken(array: jax.Array) -> jax.Array:
  # jax.numpy makes weak arrays from Python numbers alone
  return jax.lax.convert_element_type_p.bind(
    array, new_dtype=array.dtype, weak_type=True, sharding=None
  )


def _host(leaf: Any, where: str) -> np.ndarray:
  found = spec(leaf, where)
  try:
    return np.array(leaf, stored(found)[1], order="C")
  except OverflowError as error:
    raise _refusal(where, f"the integer {leaf}, beyond 64 bits") from error


def _ends(
  index: tuple[slice, ...], shape: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
  ends = (part.indices(n) for part, n in zip(index, shape, strict=True))
  return tuple((start, stop) for start, stop, _ in ends)


def _kind(spec: Spec) -> str:
  if spec.dtype in _KEYS or spec in WHOLE:
    return spec.dtype
  dtype = stored(spec)[1]
  for kind in (np.bool_, np.integer, np.floating):
    if jax.dtypes.issubdtype(dtype, kind):
      return kind.__name__
  return dtype.name


def _known(found: Spec, known: bool, where: str) -> Spec:
  if not known:
    raise _refusal(where, f"an array of {found.dtype}")
  return found


def _refusal(where: str, what: str) -> errors.UserError:
  return errors.UserError(
    f"{where} is {what}, which an array component cannot hold: register "
    "text as a component of its own, give other objects state() and "
    "load_state()"
  )
