"""The load and check of a restore: planned leaves into the present states.

`align` goes first: it finds the states that are numbers in JSON on one side
and arrays on the other, and has both sides speak of leaves.
"""

import dataclasses
import pathlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax

from carnet import errors, trees
from carnet.checkpoint import (
  components,
  faults,
  leaves,
  placement,
  plan,
  source,
)


@dataclasses.dataclass(frozen=True)
class Merged:
  """New states by component name, and what identifies where they are from."""

  states: Mapping[str, Any]
  digests: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Unpacked:
  """A source of which some JSON components appear as the numbers in them.

  `numbers` has those by path, for the root path of each such component.
  """

  origin: source.Source
  numbers: Mapping[str, Mapping[str, Any]]

  @property
  def path(self) -> pathlib.Path:
    """Where the source lies."""
    return self.origin.path

  @property
  def step(self) -> int | None:
    """The training step it was saved at, if it says so."""
    return self.origin.step

  def specs(self) -> dict[str, leaves.Spec]:
    """Returns what it holds, the numbers as leaves of their own."""
    held = {
      path: spec
      for path, spec in self.origin.specs().items()
      if path not in self.numbers
    }
    for flat in self.numbers.values():
      held |= {path: leaves.spec(leaf, path) for path, leaf in flat.items()}
    return held

  def sizes(self) -> dict[str, int]:
    """Returns the stored bytes of each leaf; numbers count as 8."""
    sizes = dict(self.origin.sizes())
    for root, flat in self.numbers.items():
      sizes.pop(root)
      sizes |= dict.fromkeys(flat, 8)
    return sizes

  def contents(self, wanted: Collection[str]) -> dict[str, Any]:
    """Returns the wanted leaves."""
    known = {p: x for flat in self.numbers.values() for p, x in flat.items()}
    values = self.origin.contents([p for p in wanted if p not in known])
    for path in wanted:
      if path in known:
        values[path] = leaves.snapshot(known[path], path)
    return values


def align(
  origin: source.Source,
  states: Mapping[str, Any],
  rename: Mapping[str, str] | None = None,
) -> tuple[Unpacked, dict[str, leaves.Spec]]:
  """Returns the source and the target of a restore, for `plan.make`.

  JSON that is to be restored into arrays is read for it; if it was renamed, it
  stays JSON.

  Args:
    origin: where the leaves come from.
    states: the present state of each component, by its root path.
    rename: pattern -> replacement, applied to stored paths.

  Raises:
    CorruptError: JSON that was read is not what was written.
    UserError: a leaf is of a kind that cannot be saved.
  """
  held = {row.path: row for row in plan.make(origin.specs(), {}, rename=rename)}
  arrays = _above(p for p, row in held.items() if not _is_whole(row.stored))
  target: dict[str, leaves.Spec] = {}
  numbers: dict[str, Mapping[str, Any]] = {}
  for root, state in states.items():
    leafwise = root in arrays and components.has_numbers_alone(state)
    mine = components.specs(root, state, whole=False if leafwise else None)
    target |= mine
    row = held.get(root)
    if row is None or row.stored != leaves.JSON or row.source != root:
      continue
    if not any(map(_is_whole, mine.values())):
      numbers |= _numbers(root, origin.contents([root])[root])
  return Unpacked(origin, numbers), target


def merge(
  origin: source.Source,
  rows: tuple[plan.Row, ...],
  states: Mapping[str, Any],
) -> Merged:
  """Returns the new state of every component that a leaf is restored of.

  Args:
    origin: where the leaves come from, such as `align` returns it.
    rows: the plan.
    states: the present state of each component, by its root path.

  Raises:
    CorruptError: something read is not what was written.
    MismatchError: a leaf of such a component would stay abstract, or another
      value or dtype than the stored one.
  """
  chosen = [row for row in rows if row.status == plan.RESTORED]
  whole = {row.path: _is_whole(row.target) for row in chosen}
  names = sorted({components.name_of(row.path) for row in chosen})
  mine = {
    components.name_of(root): (root, state, whole.get(root, False))
    for root, state in states.items()
  }
  flat = {name: components.flatten(*mine[name]) for name in names}
  _refuse_abstract(flat, {row.path for row in chosen})
  values = origin.contents([str(row.source) for row in chosen])
  packed = origin.origin if isinstance(origin, Unpacked) else origin
  digests = source.digests(packed, values)
  for row in chosen:
    there = flat[components.name_of(row.path)]
    value = values.pop(str(row.source))
    if row.stored is not None and not _is_whole(row.stored):
      value = placement.rebuild(value, row.stored, there[row.path], row.path)
    there[row.path] = value
  merged = {
    name: components.unflatten(flat[name], *mine[name]) for name in names
  }
  return Merged(merged, digests)


def _above(paths: Iterable[str]) -> set[str]:
  """Returns the paths and those of everything that they lie in."""
  found: set[str] = set()
  for path in paths:
    while path and path not in found:
      found.add(path)
      path = path.rpartition("/")[0]
  return found


def _is_whole(spec: leaves.Spec | None) -> bool:
  return spec in leaves.WHOLE


def _numbers(root: str, content: Any) -> dict[str, Mapping[str, Any]]:
  if not components.has_numbers_alone(content):
    return {}
  try:
    flat = trees.flatten(content, root)
    for path, leaf in flat.items():
      leaves.snapshot(leaf, path)
  except errors.UserError:  # a name or an integer that no leaf can have
    return {}
  return {root: flat}


def _refuse_abstract(
  flat: Mapping[str, Mapping[str, Any]], restored: Collection[str]
) -> None:
  left = [
    path
    for state in flat.values()
    for path, leaf in state.items()
    if isinstance(leaf, jax.ShapeDtypeStruct) and path not in restored
  ]
  if left:
    raise faults.MismatchError(
      "these leaves would stay abstract: initialise them, or restore them "
      f"too: {', '.join(left)}"
    )
