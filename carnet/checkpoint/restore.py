"""The load and check of a restore: planned leaves into the present states."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import jax

from carnet.checkpoint import components, faults, leaves, plan, source


@dataclasses.dataclass(frozen=True)
class Merged:
  """New states by component name, and what identifies where they are from."""

  states: Mapping[str, Any]
  digests: Mapping[str, str]


def merge(
  origin: source.Source,
  rows: tuple[plan.Row, ...],
  states: Mapping[str, Any],
) -> Merged:
  """Returns the new state of every component that a leaf is restored of.

  Args:
    origin: where the leaves come from.
    rows: the plan.
    states: the present state of each component, by its root path.

  Raises:
    CorruptError: something read is not what was written.
    MismatchError: a leaf of such a component would stay abstract.
  """
  chosen = [row for row in rows if row.status == plan.RESTORED]
  roots = {components.name_of(root): root for root in states}
  names = sorted({components.name_of(row.path) for row in chosen})
  flat = {n: components.flatten(roots[n], states[roots[n]]) for n in names}
  _refuse_abstract(flat, {row.path for row in chosen})
  values = origin.contents([str(row.source) for row in chosen])
  digests = source.digests(origin, values)
  for row in chosen:
    mine = flat[components.name_of(row.path)]
    value = values.pop(str(row.source))
    if row.stored is not None and row.stored not in leaves.WHOLE:
      value = leaves.rebuild(value, row.stored, mine[row.path])
    mine[row.path] = value
  merged = {
    name: components.unflatten(roots[name], flat[name], states[roots[name]])
    for name in names
  }
  return Merged(merged, digests)


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
