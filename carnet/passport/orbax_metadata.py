"""Orbax's `_METADATA` as data: which arrays it names, and what is unsafe in it.

Orbax itself would follow a key that is an absolute path out of the checkpoint
where arrays lie in directories of their own, joins keys with dots so that two
leaves become one, and fails in many ways on what is malformed.
"""

import collections
import dataclasses
import functools
import re
from collections.abc import Iterator

import pydantic

from carnet import errors
from carnet.passport import context, needed_files, schema, shown

_PART = re.compile(r"[A-Za-z0-9_~+-]{1,128}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_SEQUENCE, _DICT = 1, 2  # Orbax's KeyType
_ARRAYS = ("jax.Array", "np.ndarray", "scalar")
_OTHERS = ("None", "Dict", "List", "Tuple", "NamedTuple", "string")
_DEEPEST = 64


class _Part(pydantic.BaseModel):
  model_config = pydantic.ConfigDict(defer_build=True)


class _Key(_Part):
  key: str | int
  key_type: int


class _Value(_Part):
  value_type: str
  skip_deserialize: bool = False
  write_shape: list[int] | None = None


class _Entry(_Part):
  key_metadata: list[_Key]
  value_metadata: _Value


class _Document(_Part):
  tree_metadata: dict[str, _Entry]
  use_ocdbt: bool | None = None
  use_zarr3: bool | None = None


@dataclasses.dataclass(frozen=True)
class Leaf:
  """An array: its keys, and the shape that a process wrote if that is told."""

  keys: tuple[str, ...]
  write_shape: tuple[int, ...] | None

  @property
  def name(self) -> str:
    """The keys as this library joins them."""
    return "/".join(self.keys)

  @property
  def joined(self) -> str:
    """The keys as Orbax joins them."""
    return ".".join(self.keys)


@dataclasses.dataclass(frozen=True)
class Item:
  """One pytree; `place` is its directory, such as "agent/"."""

  place: str
  leaves: tuple[Leaf, ...]
  ocdbt: bool
  zarr3: bool
  faults: tuple[str, ...]


@functools.lru_cache(maxsize=1)  # several checks of one run ask
def read(found: context.Context) -> tuple[Item, ...]:
  """Returns what the metadata of each item declares, faults included.

  Raises:
    UserError: a file is no sound JSON, or not as Orbax writes it.
  """
  slashes = found.passport.weight_integrity.checkpoint_format.kind == "carnet"
  return tuple(
    _read(found, place, slashes) for place in needed_files.items(found)
  )


def _read(found: context.Context, place: str, slashes: bool) -> Item:
  name = f"{place}{needed_files.METADATA}"
  try:
    document = _Document.model_validate(found.json(name), strict=True)
  except pydantic.ValidationError as error:
    raise errors.UserError(
      f"{shown.cut(name)} is malformed: {shown.cut(schema.faults(error))}"
    ) from error
  entries = list(document.tree_metadata.values())
  arrays = tuple(map(_leaf, filter(_is_array, entries)))
  faults = [*_faults(entries, slashes), *_holes(entries)]
  return Item(
    place,
    arrays,
    ocdbt=bool(document.use_ocdbt),
    zarr3=bool(document.use_zarr3),
    faults=tuple(f"{shown.cut(name)}: {fault}" for fault in faults),
  )


def _is_array(entry: _Entry) -> bool:
  value = entry.value_metadata
  return value.value_type in _ARRAYS and not value.skip_deserialize


def _leaf(entry: _Entry) -> Leaf:
  shape = entry.value_metadata.write_shape
  return Leaf(_keys(entry), None if shape is None else tuple(shape))


def _keys(entry: _Entry) -> tuple[str, ...]:
  return tuple(str(key.key) for key in entry.key_metadata)


def _faults(entries: list[_Entry], slashes: bool) -> Iterator[str]:
  for entry in entries:
    parts = 0
    for key in entry.key_metadata:
      text = str(key.key)
      names = text.split("/") if slashes else [text]
      parts += len(names)
      if key.key_type not in (_SEQUENCE, _DICT):
        yield f"the key {_shown(text)} is of the unknown type {key.key_type}"
      elif key.key_type == _SEQUENCE and not _INDEX.fullmatch(text):
        yield f"the key {_shown(text)} is no index of a list"
      elif not all(map(_PART.fullmatch, names)):
        yield (
          f"the key {_shown(text)} has more than letters, digits and _~+-, "
          "or leads elsewhere"
        )
    if not 0 < parts <= _DEEPEST:
      yield f"a leaf has {parts} keys: 1 to {_DEEPEST} are sound"
    kind = entry.value_metadata.value_type
    if kind not in (*_ARRAYS, *_OTHERS):
      yield f"a value is of the unknown type {_shown(kind)}"


def _holes(entries: list[_Entry]) -> Iterator[str]:
  """Yields lists of which an element is missing."""
  lists: dict[tuple[str, ...], set[int]] = collections.defaultdict(set)
  for entry in entries:
    keys = _keys(entry)
    for depth, key in enumerate(entry.key_metadata):
      if key.key_type == _SEQUENCE and _INDEX.fullmatch(keys[depth]):
        lists[keys[:depth]].add(int(keys[depth]))
  for above, indices in lists.items():
    if len(indices) != max(indices) + 1:
      name = _shown("/".join(above))
      yield f"the list {name} has {len(indices)} of {max(indices) + 1} elements"


def _shown(text: str) -> str:
  return f"'{shown.cut(text, 80)}'"
