"""Checkpoints that plain Orbax wrote: where their items are, and the arrays.

Orbax's own metadata classes are not used: a hostile `_METADATA` can only fail
to name arrays of its directory. What is read of it: the keys, which values are
arrays, and the layout; shapes and dtypes come from the arrays' own headers.
"""

import dataclasses
import logging
import pathlib
import re
from collections.abc import Collection
from typing import Any

import numpy as np

from carnet import errors, paths
from carnet.checkpoint import (
  dtypes,
  foreign_source,
  foreign_zarr,
  leaves,
  manifest,
)

_METADATA = "_METADATA"
_STEP_METADATA = "_CHECKPOINT_METADATA"
_MARKERS = (_STEP_METADATA, "orbax.checkpoint")  # the second is v1's
_TEMPORARY = ".orbax-checkpoint-tmp"
_DEFAULT_ITEMS = ("default", "pytree", "state")  # names that Orbax chooses
_METRICS = "metrics"
_STEP = re.compile(r"(?:(?P<prefix>.+)_)?(?P<step>[0-9]{1,18})")
_HEAD_BYTES = 256
_ARRAYS = ("jax.Array", "np.ndarray", "scalar")
_PYTHON = {
  "bool": "python:bool",
  "int64": "python:int",
  "float64": "python:float",
}
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Item:
  """One pytree; `leaves` have the paths that they have in it."""

  place: pathlib.Path
  leaves: tuple[foreign_source.Leaf, ...]
  skipped: tuple[str, ...]
  layout: foreign_zarr.Layout

  def read(
    self, wanted: Collection[foreign_source.Leaf]
  ) -> dict[str, np.ndarray]:
    """Returns the wanted arrays and reads no others."""
    return foreign_zarr.fetch(
      self.place, [leaf.key for leaf in wanted], self.layout
    )


def items(place: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the pytrees of a step by name, "" for one that has no name.

  A single pytree that Orbax named (`default`, `pytree`, `state`) has none.
  """
  if _is_item(place):
    return {"": place}
  found = _named_items(place)
  others = set(skipped(place)) - {_METRICS}
  if len(found) == 1 and not others and next(iter(found)) in _DEFAULT_ITEMS:
    return {"": next(iter(found.values()))}
  return found


def skipped(place: pathlib.Path) -> list[str]:
  """Returns the names of a step's items that are no pytree, such as JSON."""
  if _is_item(place):
    return []
  return [p.name for p in _directories(place) if not _is_item(p)]


def newest(root: pathlib.Path) -> tuple[int, pathlib.Path] | None:
  """Returns the newest finished step below `root`, None if there is none.

  Raises:
    UserError: steps have several prefixes.
    CorruptError: the step is a link.
  """
  steps = _steps(root)
  finished = [step for step, place in steps.items() if _finished(place)]
  if not finished:
    return None
  chosen = max(finished)
  for step in sorted(steps):
    if step > chosen:
      _log.warning("%s is no finished step: not used", steps[step])
  foreign_source.check_one(steps[chosen])
  return chosen, steps[chosen]


def is_ours(place: pathlib.Path) -> bool:
  """Tells whether a directory has a manifest of this library."""
  listed = place / manifest.NAME
  if not listed.is_file():
    return False
  with listed.open("rb") as file:
    return f'"{manifest.FORMAT}"'.encode() in file.read(_HEAD_BYTES)


def open_item(place: pathlib.Path) -> Item:
  """Returns what the metadata of a pytree declares.

  Raises:
    CorruptError: it is damaged, or leads out of the directory.
    UserError: two leaves share a path.
  """
  foreign_source.check_plain(place)
  metadata = foreign_source.document(place / _METADATA)
  try:
    return _open(place, metadata)
  except errors.UserError:
    raise
  except Exception as error:
    raise foreign_source.unreadable(place, error) from error


def _open(place: pathlib.Path, metadata: dict[str, Any]) -> Item:
  rows = [_row(entry, place) for entry in metadata["tree_metadata"].values()]
  rows = [row for row in rows if row[1] is not None]
  _check_distinct([names for names, _ in rows], place)
  arrays = {names: kind for names, kind in rows if kind in _ARRAYS}
  ocdbt = metadata.get("use_ocdbt")
  if ocdbt is None:  # before Orbax noted it
    ocdbt = (place / "manifest.ocdbt").exists()
  layout = foreign_zarr.Layout(
    ocdbt=bool(ocdbt),
    zarr3=bool(metadata.get("use_zarr3")),
    sparse=not metadata.get("store_array_data_equal_to_fill_value"),
  )
  declared = foreign_zarr.describe(place, [".".join(n) for n in arrays], layout)
  generators = _generators(place)
  found, left_out = [], ["/".join(n) for n, k in rows if k not in _ARRAYS]
  for names, kind in arrays.items():
    key = ".".join(names)
    leaf = _leaf(names, declared[key], kind, generators.get(key))
    if foreign_source.known(leaf.spec):
      found.append(leaf)
    else:
      left_out.append(leaf.path)
  return Item(place, tuple(found), tuple(left_out), layout)


def _row(
  entry: dict[str, Any], place: pathlib.Path
) -> tuple[tuple[str, ...], str | None]:
  """Returns the keys to a leaf and its kind; None for empty containers."""
  names = tuple(str(part["key"]) for part in entry["key_metadata"])
  if not names:
    raise errors.UserError(
      f"{place} is a leaf without a name: save it in a dictionary"
    )
  for name in names:
    foreign_source.path(name, place)
  value = entry["value_metadata"]
  return names, None if value.get("skip_deserialize") else value["value_type"]


def _check_distinct(found: list[tuple[str, ...]], place: pathlib.Path) -> None:
  shown = ["[" + "][".join(map(repr, names)) + "]" for names in found]
  for mark in ("/", "."):  # our paths; then Orbax's, of which one was lost
    joined = [mark.join(names) for names in found]
    foreign_source.check_distinct(zip(joined, shown, strict=True), place)


def _leaf(
  names: tuple[str, ...],
  declared: foreign_zarr.Declared,
  kind: str,
  generator: str | None,
) -> foreign_source.Leaf:
  shape, dtype = declared.shape, declared.dtype
  spec = leaves.Spec(shape, dtype)
  if kind == "scalar" and shape == ():
    spec = leaves.Spec((), _PYTHON.get(dtype, dtype))
  words = dtypes.KEY_WORDS.get(f"key:{generator}")
  if words is not None and dtype == "uint32" and shape[-1:] == (words,):
    spec = leaves.Spec(shape[:-1], f"key:{generator}")
  return foreign_source.Leaf(
    "/".join(names), ".".join(names), spec, shape, declared.read_bytes
  )


def _generators(place: pathlib.Path) -> dict[str, str]:
  """Returns the random generator of each leaf that is a typed key."""
  listed = place / "array_metadatas" / "process_0"
  if not listed.is_file():
    return {}
  found = {}
  for row in foreign_source.document(listed)["array_metadatas"]:
    facts = row["array_metadata"]
    generator = (facts.get("ext_metadata") or {}).get("random_key_impl")
    if generator:
      found[str(facts["param_name"])] = str(generator)
  return found


def _is_item(place: pathlib.Path) -> bool:
  return (place / _METADATA).is_file()


def _directories(place: pathlib.Path) -> list[pathlib.Path]:
  found = [p for p in sorted(place.iterdir()) if p.is_dir()]
  return [p for p in found if _TEMPORARY not in p.name]


def _named_items(place: pathlib.Path) -> dict[str, pathlib.Path]:
  found = {p.name: p for p in _directories(place) if _is_item(p)}
  if not any((place / marker).is_file() for marker in _MARKERS):
    # Before Orbax marked steps; checkpoints of their own are no items.
    found = {
      name: item
      for name, item in found.items()
      if not name.isdecimal() and not (item / _STEP_METADATA).exists()
    }
  for name in found:
    paths.check_name(name, str(place))
  return found


def _steps(root: pathlib.Path) -> dict[int, pathlib.Path]:
  named: dict[str, dict[int, pathlib.Path]] = {}
  for place in _directories(root):
    match = _STEP.fullmatch(place.name)
    if match:
      of_prefix = named.setdefault(match["prefix"] or "", {})
      of_prefix[int(match["step"])] = place
  named = {
    prefix: steps
    for prefix, steps in named.items()
    if any(_finished(place) for place in steps.values())
  }
  if "" in named or not named:
    return named.get("", {})
  if len(named) > 1:
    raise errors.UserError(
      f"{root} holds steps named {', '.join(f'{n}_*' for n in sorted(named))}"
      ": give the directory of one step"
    )
  return next(iter(named.values()))


def _finished(place: pathlib.Path) -> bool:
  try:
    if is_ours(place):
      return False
    unfinished = any(_TEMPORARY in child.name for child in place.iterdir())
    return bool(items(place)) and not unfinished
  except FileNotFoundError:  # deleted since it was listed
    return False
