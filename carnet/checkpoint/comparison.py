"""How two steps differ, leaf by leaf, by the digests in their manifests.

Nothing but manifests and small JSON files is read, and JAX is not imported;
`with_values` alone reads arrays, those that differ.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from carnet.checkpoint import (
  directory,
  faults,
  inspection,
  integrity,
  manifest,
)

EQUAL = "equal"
DIFFERS = "content differs"
CHANGED = "shape or dtype changed"
ONLY_A = "only in A"
ONLY_B = "only in B"
STATUSES = (EQUAL, DIFFERS, CHANGED, ONLY_A, ONLY_B)

_BATCH_BYTES = 1 << 28  # of each step, in memory at a time
_JSON_DEPTH = 20  # below it, values are compared whole
_LARGEST_JSON_BYTES = 1 << 24  # of a file whose values are compared


@dataclasses.dataclass(frozen=True)
class Row:
  """A leaf or file in both steps; bytes are 0 where it is not.

  `kind` is its shape and dtype (of A, if they differ: of A -> of B).
  `max_abs_difference` is set by `with_values`; NaN against a number gives NaN.
  """

  path: str
  status: str
  kind: str
  bytes_a: int
  bytes_b: int
  max_abs_difference: float | None = None


@dataclasses.dataclass(frozen=True)
class Chunks:
  """A component made of chunks: how many are in which step, and bytes."""

  component: str
  in_both: int
  only_a: int
  only_b: int
  bytes_both: int
  bytes_a: int
  bytes_b: int


@dataclasses.dataclass(frozen=True)
class Change:
  """A value of a JSON file, or a metric, that is not equal in both steps.

  `a` and `b` are JSON values; None in place of one that is absent.
  """

  path: str
  a: Any
  b: Any


@dataclasses.dataclass(frozen=True)
class Comparison:
  """All differences of two steps; `files` has the equal ones too.

  `files` are the JSON components and the attached files.
  """

  a: str
  b: str
  leaves: tuple[Row, ...]
  files: tuple[Row, ...]
  chunks: tuple[Chunks, ...]
  values: tuple[Change, ...]
  metrics: tuple[Change, ...]

  @property
  def equal(self) -> bool:
    """Tells whether leaves, files, chunks and metrics are equal."""
    rows = all(row.status == EQUAL for row in (*self.leaves, *self.files))
    chunks = all(row.only_a == row.only_b == 0 for row in self.chunks)
    return rows and chunks and not self.metrics


def compare(a: pathlib.Path, b: pathlib.Path) -> Comparison:
  """Returns how the steps that two paths mean differ.

  Raises:
    CorruptError: a manifest is damaged.
    UserError: there is no step.
  """
  places = directory.resolve(a), directory.resolve(b)
  found_a, found_b = (directory.read_manifest(place) for place in places)
  files = tuple(_rows(_files(found_a), _files(found_b), lambda file: "file"))
  return Comparison(
    a=str(places[0]),
    b=str(places[1]),
    leaves=tuple(_rows(_leaves(found_a), _leaves(found_b), _spec)),
    files=files,
    chunks=tuple(_chunks(found_a, found_b)),
    values=tuple(_values(*places, files)),
    metrics=tuple(_changes(found_a.metrics, found_b.metrics, "")),
  )


def with_values(comparison: Comparison) -> Comparison:
  """Returns the comparison with the largest difference of each float leaf.

  Raises:
    CorruptError: an array is not what was written.
  """
  from carnet.checkpoint import reader  # imports JAX

  places = pathlib.Path(comparison.a), pathlib.Path(comparison.b)
  found = [directory.read_manifest(place) for place in places]
  largest: dict[str, float] = {}
  for batch in _batches(comparison.leaves):
    a, b = (
      reader.contents(p, f, batch) for p, f in zip(places, found, strict=True)
    )
    largest |= {path: _largest(a[path], b[path]) for path in batch}
  rows = [
    dataclasses.replace(row, max_abs_difference=largest.get(row.path))
    for row in comparison.leaves
  ]
  return dataclasses.replace(comparison, leaves=tuple(rows))


def _batches(rows: tuple[Row, ...]) -> Iterator[list[str]]:
  batch: list[str] = []
  held = 0
  for row in rows:
    if row.status != DIFFERS or not _is_float(row.kind):
      continue
    if batch and held + row.bytes_a > _BATCH_BYTES:
      yield batch
      batch, held = [], 0
    batch.append(row.path)
    held += row.bytes_a
  if batch:
    yield batch


def _is_float(kind: str) -> bool:
  return "float" in kind or "complex" in kind


def _largest(a: Any, b: Any) -> float:
  import numpy as np

  wide = np.complex128 if np.iscomplexobj(a) else np.float64
  a, b = np.asarray(a).astype(wide), np.asarray(b).astype(wide)
  same = (a == b) | (np.isnan(a) & np.isnan(b))
  with np.errstate(invalid="ignore"):
    distance = np.where(same, 0.0, np.abs(a - b))
  return float(distance.max())


def _leaves(found: manifest.Manifest) -> dict[str, manifest.Leaf]:
  return {leaf.path: leaf for leaf in found.leaves}


def _files(found: manifest.Manifest) -> dict[str, manifest.File]:
  """Returns the files that are no storage of arrays."""
  return {
    file.path: file
    for file in found.files
    if found.components.get(file.path.split("/")[0]) != inspection.ARRAYS
  }


def _spec(leaf: manifest.Leaf) -> str:
  return f"{leaf.dtype}{list(leaf.shape)}"


def _rows(
  a: Mapping[str, Any], b: Mapping[str, Any], kind: Callable[[Any], str]
) -> Iterator[Row]:
  for path in sorted({*a, *b}):
    here, there = a.get(path), b.get(path)
    kinds = [kind(side) for side in (here, there) if side is not None]
    if here is None or there is None:
      status = ONLY_B if here is None else ONLY_A
    elif kinds[0] != kinds[1]:
      status = CHANGED
    else:
      status = EQUAL if here.sha256 == there.sha256 else DIFFERS
    sizes = [side.size_bytes if side else 0 for side in (here, there)]
    yield Row(path, status, " -> ".join(dict.fromkeys(kinds)), *sizes)


def _chunks(a: manifest.Manifest, b: manifest.Manifest) -> Iterator[Chunks]:
  kinds = {**a.components, **b.components}
  for name in sorted(n for n, k in kinds.items() if k == inspection.CHUNKS):
    rows_a, rows_b = (inspection.chunk_rows(side, name) for side in (a, b))
    groups = (
      rows_a.keys() & rows_b.keys(),
      rows_a.keys() - rows_b.keys(),
      rows_b.keys() - rows_a.keys(),
    )
    sizes = {key: row.size_bytes for key, row in {**rows_a, **rows_b}.items()}
    counts = [len(group) for group in groups]
    yield Chunks(name, *counts, *(sum(sizes[k] for k in g) for g in groups))


def _values(
  a: pathlib.Path, b: pathlib.Path, files: tuple[Row, ...]
) -> Iterator[Change]:
  """Yields what differs within JSON files that are in both steps."""
  sound = [directory.read_manifest(place) for place in (a, b)]
  for row in files:
    large = max(row.bytes_a, row.bytes_b) > _LARGEST_JSON_BYTES
    if row.status != DIFFERS or not row.path.endswith(".json") or large:
      continue
    # what is damaged or only named like JSON is left at "content differs"
    with contextlib.suppress(faults.CorruptError):
      here, there = (
        integrity.document(place, _files(found)[row.path])
        for place, found in zip((a, b), sound, strict=True)
      )
      yield from _changes(here, there, row.path)


def _changes(
  a: Any, b: Any, path: str, depth: int = _JSON_DEPTH
) -> Iterator[Change]:
  if isinstance(a, Mapping) and isinstance(b, Mapping) and depth:
    for key in dict.fromkeys((*a, *b)):
      place = f"{path}/{key}" if path else key
      yield from _changes(a.get(key), b.get(key), place, depth - 1)
  elif a != b or type(a) is not type(b):
    yield Change(path, a, b)
