"""The load and check of a restore: planned leaves into the present states."""

import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import jax

from carnet.checkpoint import (
  components,
  faults,
  leaves,
  manifest,
  plan,
  reader,
)


def merge(
  place: pathlib.Path,
  found: manifest.Manifest,
  rows: tuple[plan.Row, ...],
  states: Mapping[str, Any],
) -> dict[str, Any]:
  """Returns the new state of every component that a leaf is restored of.

  Raises:
    CorruptError: something read is not what was written.
    MismatchError: a leaf of such a component would stay abstract.
  """
  chosen = [row for row in rows if row.status == plan.RESTORED]
  names = sorted({row.path.split("/")[0] for row in chosen})
  flat = {name: components.flatten(name, states[name]) for name in names}
  _refuse_abstract(flat, {row.path for row in chosen})
  values = reader.contents(place, found, [str(row.source) for row in chosen])
  for row in chosen:
    mine, value = flat[row.path.split("/")[0]], values.pop(str(row.source))
    if row.stored != leaves.JSON and row.stored is not None:
      value = leaves.rebuild(value, row.stored, mine[row.path])
    mine[row.path] = value
  return {n: components.unflatten(n, flat[n], states[n]) for n in names}


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
