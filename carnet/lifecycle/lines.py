"""What was done and what is current, as lines of text."""

import pathlib
import textwrap
from collections.abc import Iterator, Sequence

from carnet import terminal
from carnet.lifecycle import gate, promotion, records, simulated
from carnet.lifecycle import history as history_lib
from carnet.lifecycle import status as status_lib

_SIGNED = {"pass": "signed pass", "soft_signal": "signed soft"}
_SHORT = {"pass": "pass", "soft_signal": "soft"}
_DONE = {"promote": "promoted", "rollback": "rolled back to"}
_HEAD = ("", "UTC", "action", "step", "passport", "signed", "in simulation")
_MARKS = {
  "*": "current",
  "!": "interrupted before the switch, or undone by hand",
}
_SHOWN = 8  # digits of a digest
_INDENT = " " * 4


def switched(found: promotion.Switched) -> Iterator[str]:
  """Yields lines that tell what was done."""
  record = found.record
  yield f"{_DONE[record.action]} {_described(record)}"
  yield f"before: {record.previous or 'nothing'}"
  yield f"path: {found.path}"
  if found.torn:
    yield (
      f"a crash had cut off a line of {len(found.torn)} bytes: it now is in "
      f"{history_lib.TORN}"
    )


def packed(signed: gate.Signed, place: pathlib.Path) -> Iterator[str]:
  """Yields lines that tell of an archive, and what to do where it goes."""
  size = place.stat().st_size / 1e6
  yield f"packed {signed.name}: {signed.signoff.verdict}, {size:.1f} MB"
  yield f"path: {place}"
  yield (
    f"there: tar -xf {place.name}; validate-checkpoint {signed.name} "
    "--require-signoff"
  )


def status(found: status_lib.Status) -> Iterator[str]:
  """Yields lines that tell what is current."""
  record = found.record
  done = _DONE[record.action]
  yield f"valid: {found.path}"
  yield f"{done} {_described(record)}"
  yield f"at {record.utc} by {record.by}: {record.reason}"


def log(
  found: history_lib.History,
  done: Sequence[bool],
  current: str | None,
  notes: Sequence[str] = (),
  width: int | None = None,
) -> Iterator[str]:
  """Yields two lines a switch, the newest last, then the seal and notes.

  Args:
    found: the history.
    done: for each switch whether it was made.
    current: the name of the current checkpoint.
    notes: of `status`.
    width: of the terminal; None folds no reason.
  """
  rows = [
    (_mark(found, done, current, index), *_cells(record))
    for index, record in enumerate(found.switches)
  ]
  widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
  yield _aligned(_HEAD, widths)
  for row, record in zip(rows, found.switches, strict=True):
    yield _aligned(row, widths)
    yield from _folded(f"{record.by}: {record.reason}", width)
  yield ""
  for mark, meaning in _MARKS.items():
    if mark in [row[0] for row in rows]:
      yield f"{mark} {meaning}"
  count = f"{len(rows)} line{'s' * (len(rows) != 1)}, none changed"
  yield f"{count}; the sha256 of the last one is" if rows else count
  if found.head:
    yield found.head
  for note in notes:
    yield from _folded(note, width, "")


def _mark(
  found: history_lib.History,
  done: Sequence[bool],
  current: str | None,
  index: int,
) -> str:
  if not done[index]:
    return "!"
  last = max(i for i, is_made in enumerate(done) if is_made)
  is_current = found.switches[index].checkpoint == current
  return "*" if index == last and is_current else ""


def _cells(record: records.Record) -> tuple[str, ...]:
  return (
    record.utc[:16].replace("T", " "),
    record.action,
    "?" if record.step is None else str(record.step),
    record.passport_sha256[:_SHOWN],
    _SHORT[record.verdict],
    simulated.measure(record.success) if record.success else "",
  )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
  pairs = zip(cells, widths, strict=True)
  mark, *rest = (cell.ljust(width) for cell, width in pairs)
  return f"{mark or ' '} {'  '.join(rest)}".rstrip()


def _folded(
  text: str, width: int | None, indent: str = _INDENT
) -> Iterator[str]:
  """Yields one line, or several that a terminal of `width` holds."""
  shown = terminal.printable(text)
  if width is None:
    yield f"{indent}{shown}"
    return
  yield from textwrap.wrap(
    shown,
    max(width, 20),
    initial_indent=indent,
    subsequent_indent=indent,
    break_on_hyphens=False,
  )


def _described(record: records.Record) -> str:
  step = "an unknown step" if record.step is None else f"step {record.step}"
  worth = record.success and simulated.described(record.success)
  parts = [step, _SIGNED[record.verdict], worth or "not evaluated"]
  return f"{record.checkpoint}: {', '.join(parts)}"
