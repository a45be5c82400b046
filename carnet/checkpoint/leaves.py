"""Leaves of an array component: what they are, and copied out.

A typed random key is stored as the integers behind it and a Python number as
an array without axes; the dtype that the manifest records tells them apart.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from carnet import errors
from carnet.checkpoint import kinds

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
    python = self.dtype in kinds.PYTHON or stored.dtype in kinds.PYTHON
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


def spec(leaf: Any, where: str) -> Spec:
  """Returns what `leaf` is; messages call it `where`.

  Raises:
    UserError: a leaf of this kind would not come back as it is.
  """
  if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      dtype = f"key:{_impl(leaf)}"
      if dtype not in kinds.KEYS:
        raise kinds.refusal(where, leaf)
      return Spec(leaf.shape, dtype)
    known = leaf.dtype in kinds.ARRAYS
  else:
    for dtype, (python, _) in kinds.PYTHON.items():
      if type(leaf) is python:
        return Spec((), dtype)
    known = kinds.is_held(leaf)
  if not known:
    raise kinds.refusal(where, leaf)
  weak = bool(getattr(leaf, "weak_type", False))
  return Spec(tuple(leaf.shape), leaf.dtype.name, weak)


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
  if spec.dtype in kinds.PYTHON:
    return (), np.dtype(kinds.PYTHON[spec.dtype][1])
  if spec.dtype in kinds.KEYS:
    return None, np.dtype(np.uint32)
  for dtype in kinds.ARRAYS:
    if dtype.name == spec.dtype:
      return spec.shape, dtype
  raise ValueError(f"unknown dtype '{spec.dtype}'")


def plain(array: np.ndarray, spec: Spec) -> Any:
  """Returns a leaf for readers without a target: numpy, or a typed key."""
  if spec.dtype in kinds.KEYS:
    impl = spec.dtype.removeprefix("key:")
    return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=impl)
  if spec.dtype in kinds.PYTHON:
    return kinds.PYTHON[spec.dtype][0](array)
  return array


def _impl(leaf: Any) -> str:
  return str(jax.random.key_impl(leaf))


def _host(leaf: Any, where: str) -> np.ndarray:
  found = spec(leaf, where)
  try:
    return np.array(leaf, stored(found)[1], order="C")
  except OverflowError as error:
    raise kinds.refusal(where, leaf) from error


def _ends(
  index: tuple[slice, ...], shape: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
  ends = (part.indices(n) for part, n in zip(index, shape, strict=True))
  return tuple((start, stop) for start, stop, _ in ends)


def _kind(spec: Spec) -> str:
  if spec.dtype in kinds.KEYS or spec in WHOLE:
    return spec.dtype
  dtype = stored(spec)[1]
  for kind in (np.bool_, np.integer, np.floating):
    if jax.dtypes.issubdtype(dtype, kind):
      return kind.__name__
  return dtype.name
