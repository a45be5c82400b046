"""A table of candidates, for a terminal.

Text from files enters them as printable characters: no markup and no terminal
escape in it is ever obeyed.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import rich.box
import rich.console
import rich.table
import rich.text

from carnet import terminal
from carnet.lifecycle import candidates as candidates_lib
from carnet.lifecycle import simulated

Parts = Iterator[rich.console.RenderableType]
_INVALID = "INVALID"
_WIDEST = 1 << 14  # longer than what a cell may hold


def candidates(found: Sequence[candidates_lib.Candidate]) -> Parts:
  """Yields one row a checkpoint, then notes."""
  losses = list(dict.fromkeys(c.validation[0] for c in found if c.validation))
  asked = any(c.promoted is not None for c in found)
  table = _table(
    ">step",
    *([f">{losses[0] if len(losses) == 1 else 'validation'}"] * bool(losses)),
    *(">in simulation", ">episodes", "of", "passport"),
    *(("promoted",) if asked else ()),
  )
  for row in found:
    step, loss, *rest = map(_text, _cells(row))
    cells = [step, *([loss] * bool(losses)), *rest]
    cells.append(_state(row.state))
    if asked:
      cells.append(_text("current" if row.promoted else ""))
    table.add_row(*cells)
  yield table
  for row in found:
    if row.note:
      yield _text(f"step {row.step}: {row.note}")


def show(parts: Parts, width: int | None) -> None:
  """Prints them; without a terminal's width, nothing is folded."""
  console = rich.console.Console(highlight=False, width=width or _WIDEST)
  for part in parts:
    console.print(part)


def _cells(row: candidates_lib.Candidate) -> Iterable[str]:
  success = row.success
  yield str(row.step)
  yield f"{row.validation[1]:.5g}" if row.validation else ""
  yield simulated.measure(success) if success else ""
  yield str(success.episodes or "?") if success else ""
  yield (
    {"metrics": "training", "results": "eval.py"}[success.origin]
    if success
    else ""
  )


def _state(state: str) -> rich.text.Text:
  style = "bold red" if state.startswith(_INVALID) else ""
  return rich.text.Text(terminal.printable(state), style, overflow="fold")


def _table(*columns: str) -> rich.table.Table:
  """Returns a table; what "<" or ">" begins is not folded, ">" is right."""
  table = rich.table.Table(
    box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
  )
  for name in columns:
    if name[0] in "<>":
      side: Literal["left", "right"] = "left" if name[0] == "<" else "right"
      table.add_column(_text(name[1:]), justify=side, no_wrap=True)
    else:
      table.add_column(_text(name), overflow="fold")
  return table


def _text(line: str) -> rich.text.Text:
  return rich.text.Text(terminal.printable(line), overflow="fold")
