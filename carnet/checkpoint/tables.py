"""Tables of what `inspection` and `comparison` found, for a terminal.

Text from a file enters them as `rich.text.Text` of printable characters: no
markup, emoji code or terminal escape in a name is ever obeyed.
"""

import collections
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import rich.box
import rich.console
import rich.filesize
import rich.table
import rich.text

from carnet import terminal
from carnet.checkpoint import comparison, inspection, tree
from carnet.checkpoint import listing as listing_lib

ROWS = 40  # of the leaves of a step and of each list of differences

_VALUE_CHARACTERS = 60
_LISTING_WIDTH = 52  # of a listing's columns other than chunks and metrics
_COLUMN_WIDTH = 14
_WORST_FIRST = {  # status -> how the tables call it
  comparison.CHANGED: "shape or dtype",
  comparison.ONLY_A: "only in A",
  comparison.ONLY_B: "only in B",
  comparison.DIFFERS: "differs",
}

Parts = Iterator[rich.console.RenderableType]


def size(size_bytes: int) -> str:
  """Returns bytes in units that people read: "1.5 MB"."""
  return rich.filesize.decimal(size_bytes)


def listing(found: listing_lib.Listing, width: int) -> Parts:
  """Yields one row a step, then the reasons why steps are not sound.

  Of the metrics come as many as fit into `width` characters, at least one.
  """
  chunked = any(s.shared_chunk_bytes or s.own_chunk_bytes for s in found.steps)
  chunks = (">own\nchunks", ">shared\nchunks") if chunked else ()
  metrics = list(dict.fromkeys(name for s in found.steps for name in s.metrics))
  room = width - _LISTING_WIDTH - _COLUMN_WIDTH * len(chunks)
  shown = metrics[: max(1, room // _COLUMN_WIDTH)]
  table = _table(
    *(">step", "state", ">created", ">leaves", ">files", *chunks),
    *(f">{name}".replace("/", "/\n") for name in shown),
  )
  for step in found.steps:
    sizes = [step.size_bytes, step.own_chunk_bytes, step.shared_chunk_bytes]
    values = (step.metrics.get(name, "") for name in shown)
    table.add_row(
      str(step.step),
      _state(bool(step.fault), step.signed),
      _text(_moment(step.created_utc)),
      f"{step.leaves:,}" if step.created_utc else "?",
      *[size(number) for number in sizes[: 1 + len(chunks)]],
      *[_text(_short(value)) for value in values],
    )
  yield _text(f"{found.directory} (times in UTC)")
  yield table
  for step in found.steps:
    if step.fault:
      fault = step.fault.replace(f"{step.path}/", "")
      yield _text(f"step {step.step}: {fault}")
  for name, size_bytes in found.others.items():
    yield _text(f"not a step: {name}, {size(size_bytes)}")
  if len(metrics) > len(shown):
    hidden = ", ".join(metrics[len(shown) :])
    yield _text(f"no room for {hidden}: see show, or --json")


def contents(found: inspection.Contents, rows: int | None = ROWS) -> Parts:
  """Yields what a step holds; groups of leaves beyond `rows` are folded."""
  yield _facts(
    {
      "step": f"{found.step}" + ", signed" * found.signed,
      "path": found.path,
      "created": f"{_moment(found.created_utc)} UTC",
      "leaves": f"{len(found.leaves):,}",
      "files": size(found.size_bytes),
      "tree sha256": found.tree_sha256,
    }
  )
  table = _table("component", "shape", "dtype", ">size")
  drawn = tree.draw(found, rows)
  for row in drawn:
    name = f"{'  ' * row.depth}{row.name}"
    shape = str(list(row.shape)) if row.shape is not None else row.summary
    table.add_row(*map(_text, (name, shape, row.kind, size(row.size_bytes))))
  yield table
  if any(row.folded for row in drawn):
    yield _text("groups with a count are folded: --all shows what is in them")
  yield from _section(
    "attached files", {f.path: size(f.size_bytes) for f in found.attached}
  )
  metrics = {name: _short(value) for name, value in found.metrics.items()}
  yield from _section("metrics", metrics)
  for number, parent in enumerate(found.lineage):
    last = number == len(found.lineage) - 1
    facts = {key: _short(fact) for key, fact in parent.items() if fact}
    yield from _section("started from" if last else "before that", facts)
  yield from _section("libraries", found.libraries)


def verification(faults: Mapping[str, list[str]]) -> Parts:
  """Yields one row for each step directory, with all that is wrong in it."""
  table = _table("step", "state", "faults")
  for path, found in faults.items():
    reasons = [reason.replace(f"{path}/", "") for reason in found]
    name = _text(posixpath.basename(path))
    table.add_row(name, _state(bool(found)), _text(*reasons))
  yield _text(*dict.fromkeys(map(posixpath.dirname, faults)))
  yield table
  yield _text(f"damaged: {sum(map(bool, faults.values()))} of {len(faults)}")


def differences(found: comparison.Comparison, rows: int | None = ROWS) -> Parts:
  """Yields counts, then at most `rows` of each list of differences."""
  yield _facts({"A": found.a, "B": found.b})
  yield _counts(found)
  both = [*found.leaves, *found.files]
  unequal = [row for row in both if row.status in _WORST_FIRST]
  unequal.sort(key=lambda row: list(_WORST_FIRST).index(row.status))
  yield from _unequal(unequal, rows)
  yield from _changes("value in a JSON file", found.values, rows)
  yield from _changes("metric", found.metrics, rows)
  yield _text("A and B are equal" if found.equal else "A and B differ")


def pruned(facts: Mapping[str, Any]) -> Parts:
  """Yields what was deleted, or would be."""
  verb = "would delete" if facts["dry_run"] else "deleted"
  done = {
    f"{verb} steps": _numbers(facts["deleted"]),
    "kept steps": _numbers(facts["kept"]),
    f"{verb} chunks": f"{len(facts['chunks']):,}",
    "bytes": size(facts["size_bytes"]),
  }
  if facts["unsound"]:
    done["left alone, not sound"] = _numbers(facts["unsound"])
  yield _text(facts["directory"])
  yield _facts(done)


def _counts(found: comparison.Comparison) -> rich.table.Table:
  groups = collections.defaultdict(list)
  for row in found.leaves:
    groups[row.path.split("/")[0]].append(row)
  columns = ("equal", "differ", "shape or\ndtype", "only in A", "only in B")
  table = _table("component", *(f">{c}" for c in columns), ">not equal")
  for name, group in groups.items():
    counts = collections.Counter(row.status for row in group)
    other = sum(
      max(row.bytes_a, row.bytes_b)
      for row in group
      if row.status != comparison.EQUAL
    )
    numbers = [f"{counts[status]:,}" for status in comparison.STATUSES]
    table.add_row(_text(name), *numbers, size(other))
  for part in found.chunks:
    numbers = [f"{n:,}" for n in (part.in_both, 0, 0, part.only_a, part.only_b)]
    other = part.bytes_a + part.bytes_b
    table.add_row(_text(f"{part.component} (chunks)"), *numbers, size(other))
  files = collections.Counter(row.status for row in found.files)
  numbers = [f"{files[status]:,}" for status in comparison.STATUSES]
  other = sum(
    max(row.bytes_a, row.bytes_b)
    for row in found.files
    if row.status != comparison.EQUAL
  )
  table.add_row("(other files)", *numbers, size(other))
  return table


def _unequal(unequal: list[comparison.Row], rows: int | None) -> Parts:
  if not unequal:
    return
  valued = any(row.max_abs_difference is not None for row in unequal)
  largest = (">max abs",) if valued else ()
  table = _table("status", "path", "what", ">size", *largest)
  for row in unequal[:rows]:
    sizes = dict.fromkeys((row.bytes_a, row.bytes_b))
    if row.status in (comparison.ONLY_A, comparison.ONLY_B):
      sizes.pop(0, None)
    cells = [
      _WORST_FIRST[row.status],
      row.path,
      row.kind,
      " -> ".join(map(size, sizes)),
    ]
    if valued:
      value = row.max_abs_difference
      cells.append("" if value is None else f"{value:.3g}")
    table.add_row(*map(_text, cells))
  yield table
  yield from _more(len(unequal), rows)


def _changes(
  title: str, changes: tuple[comparison.Change, ...], rows: int | None
) -> Parts:
  if not changes:
    return
  table = _table(title, "A", "B")
  for change in changes[:rows]:
    table.add_row(
      *map(_text, (change.path, _exact(change.a), _exact(change.b)))
    )
  yield table
  yield from _more(len(changes), rows)


def _more(total: int, rows: int | None) -> Parts:
  if rows is not None and total > rows:
    yield _text(f"and {total - rows:,} more: --all shows them")


def _section(title: str, facts: Mapping[str, str]) -> Parts:
  if facts:
    yield rich.text.Text(f"\n{title}", "bold")
    yield _facts(facts)


def _facts(facts: Mapping[str, str]) -> rich.table.Table:
  table = rich.table.Table.grid("", "", padding=(0, 2))
  for name, value in facts.items():
    table.add_row(_text(name), _text(value))
  return table


def _table(*columns: str) -> rich.table.Table:
  """Returns a table; columns that begin with ">" are for numbers."""
  table = rich.table.Table(
    box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
  )
  for name in columns:
    if name.startswith(">"):
      header = _text(*name[1:].split("\n"))
      table.add_column(header, justify="right", no_wrap=True)
    else:
      table.add_column(_text(name), overflow="fold")
  return table


def _text(*lines: str) -> rich.text.Text:
  return rich.text.Text(
    "\n".join(map(terminal.printable, lines)), overflow="fold"
  )


def _state(damaged: bool, signed: bool = False) -> rich.text.Text:
  state = rich.text.Text("DAMAGED", "bold red") if damaged else _text("sound")
  return state.append(", signed") if signed else state


def _moment(created_utc: str) -> str:
  return created_utc[:16].replace("T", " ")


def _numbers(numbers: Iterable[int]) -> str:
  return ", ".join(map(str, numbers)) or "none"


def _short(value: Any) -> str:
  """Returns a fact for reading: numbers rounded, text as it is."""
  if isinstance(value, float):
    return f"{value:.5g}"
  return value if isinstance(value, str) else json.dumps(value)


def _exact(value: Any) -> str:
  """Returns a JSON value in full, unless it is long."""
  text = json.dumps(value, ensure_ascii=False)
  if len(text) > _VALUE_CHARACTERS:
    return f"{text[:_VALUE_CHARACTERS]}..."
  return text
