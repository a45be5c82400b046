"""`TRAINING_LOG.md`: a run's metrics as a page that travels with a checkpoint.

It holds numbers, their names and the command: no path of this machine, no name
of its user or of itself. `metrics.jsonl` is read once, a part at each save, and
of its lines a bounded number is kept: first, last, evenly spaced between.
"""

import getpass
import json
import math
import os
import pathlib
import re
import shlex
import socket
from collections.abc import Iterator, Sequence
from typing import Any

NAME = "TRAINING_LOG.md"
_MOST_BYTES = 64 << 20  # read at a save; what is left comes at the next one
_LONGEST_LINE = 1 << 20
_ROWS = 16  # of a table, and up to twice as many while they are collected
_COLUMNS = 8
# beginning of a metric's name: (title, which names come first)
_TABLES = {
  "train": ("Training", ("loss", "l1", "kl", "opt/loss", "opt/grad_norm")),
  "episode": ("Episodes of the training policy", ("return", "length")),
  "validation": ("Validation", ()),
  "evaluation": ("Evaluation", ()),
}
# from the root, a home or above; not the slash within runs/a or dmc/walker_walk
_PATH = re.compile(r"(?<![\w.-])(~\w*|\.\.)?/[^\s,'\"=:]*")
_ADDRESS = re.compile(r"[^=]*=?(https?|gs|s3|hf)://")

Row = dict[str, Any]


class RunLog:
  """Renders the log of a run; each call goes on reading where the last ended.

  A file that was replaced, as at a resumption, is read anew.
  """

  def __init__(self, metrics: pathlib.Path, argv: Sequence[str] = ()) -> None:
    self._path, self._argv = metrics, tuple(argv)
    self._restart(None)

  def render(self) -> bytes:
    """Returns the page, in Markdown."""
    behind = self._read_on()
    text = "".join(self._parts(behind))
    return text.encode()

  def _restart(self, identity: tuple[int, int] | None) -> None:
    self._identity, self._position = identity, 0
    self._tables = {name: _Sample() for name in _TABLES}

  def _read_on(self) -> bool:
    """Takes the lines written since; tells whether more are left."""
    try:
      with self._path.open("rb") as file:
        status = os.fstat(file.fileno())
        identity = status.st_dev, status.st_ino
        if identity != self._identity or status.st_size < self._position:
          self._restart(identity)
        file.seek(self._position)
        left = _MOST_BYTES
        while left > 0:
          line = file.readline(_LONGEST_LINE)
          if not line.endswith(b"\n"):  # the end, or being written
            return False
          self._take(line)
          self._position += len(line)
          left -= len(line)
        return True
    except OSError:  # nothing is written yet
      return False

  def _take(self, line: bytes) -> None:
    for name, sample in self._tables.items():
      if f'"{name}/'.encode() in line:
        sample.add(line)

  def _parts(self, behind: bool) -> Iterator[str]:
    yield "# Training log\n\nWritten by carnet from the run's metrics when "
    yield "this checkpoint was saved.\n"
    if self._argv:
      yield f"\n    {sanitized(self._argv)}\n"
    if not any(sample.count for sample in self._tables.values()):
      yield "\nNothing was measured before this step.\n"
    for name, sample in self._tables.items():
      if sample.count:
        title, first = _TABLES[name]
        rows = sample.rows()
        yield f"\n## {title}\n\n{len(rows)} of {sample.count} lines.\n\n"
        yield _table(rows, _columns(rows, f"{name}/", first))
    if behind:
      yield "\nThe metrics go on beyond what was read.\n"


class _Sample:
  """The first line, the last, and others at equal distances."""

  def __init__(self) -> None:
    self.count = 0
    self._stride = 1
    self._kept: list[bytes] = []
    self._last = b""

  def add(self, line: bytes) -> None:
    """Takes the next line."""
    if self.count % self._stride == 0:
      self._kept.append(line)
    self.count, self._last = self.count + 1, line
    if len(self._kept) > 2 * _ROWS:
      self._kept = self._kept[::2]
      self._stride *= 2

  def rows(self) -> list[Row]:
    """Returns the kept lines, at most `_ROWS` and the last."""
    kept = self._kept[:: 1 + len(self._kept) // (_ROWS + 1)]
    if kept[-1] != self._last:
      kept = [*kept, self._last]
    return [row for row in map(_row, kept) if row]


def sanitized(argv: Sequence[str]) -> str:
  """Returns a command line that names neither places, user nor machine."""
  return shlex.join(_sanitize(word) for word in argv)


def _sanitize(word: str) -> str:
  flag, equals, value = word.partition("=")
  if not word.startswith("-"):
    flag, equals, value = "", "", word
  if not _ADDRESS.match(word):
    value = _PATH.sub(_last_name, value)
  for name, stands_for in _names():
    value = re.sub(rf"\b{re.escape(name)}\b", stands_for, value)
  return f"{flag}{equals}{value}"


def _last_name(path: re.Match[str]) -> str:
  return pathlib.PurePosixPath(path[0]).name or "."


def _names() -> Iterator[tuple[str, str]]:
  """Yields what must not be told, with what to write for it."""
  host = socket.gethostname()
  for name in (host, host.split(".")[0]):
    if len(name) > 2:
      yield name, "HOST"
  try:
    yield getpass.getuser(), "USER"
  except (KeyError, OSError):
    return


def _row(line: bytes) -> Row:
  try:
    found = json.loads(line)
  except ValueError:
    return {}
  return found if isinstance(found, dict) else {}


def _columns(rows: list[Row], prefix: str, first: Sequence[str]) -> list[str]:
  """Returns the names of a table's columns, the telling ones first."""
  present = {
    name: None for row in rows for name in row if name.startswith(prefix)
  }
  wanted = [prefix + name for name in first if prefix + name in present]
  return [*wanted, *(n for n in present if n not in wanted)][:_COLUMNS]


def _table(rows: list[Row], columns: list[str]) -> str:
  lines = [
    ["step", *(_heading(name) for name in columns)],
    ["---:"] * (len(columns) + 1),
    *([_cell(row.get(name)) for name in ("step", *columns)] for row in rows),
  ]
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _heading(name: str) -> str:
  return name.split("/", 1)[1].replace("|", "\\|")


def _cell(value: Any) -> str:
  if isinstance(value, bool) or not isinstance(value, int | float):
    return ""
  if isinstance(value, int):
    return str(value)
  return f"{value:.6g}" if math.isfinite(value) else ""
