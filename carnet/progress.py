"""Progress with an estimate of the time left, on a terminal or in a log."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import rich.console
import rich.progress

_LOG_EVERY_SECONDS = 10.0


@runtime_checkable
class Bar(Protocol):
  """What a stage reports to."""

  def update(self, completed: int, note: str = "") -> None:
    """Shows that `completed` of the total are done, with a short note."""


@contextlib.contextmanager
def bar(title: str, total: int | None, completed: int = 0) -> Iterator[Bar]:
  """Yields a live bar on a terminal, and lines every 10 seconds elsewhere.

  `completed` was done by an earlier run and does not count for the estimate.
  A total of None is unknown: there is no estimate.
  """
  if not sys.stdout.isatty():
    yield _Lines(title, total, completed)
    return
  columns = (
    rich.progress.TextColumn("{task.description:<12}"),
    rich.progress.BarColumn(bar_width=24),
    rich.progress.MofNCompleteColumn(),
    rich.progress.TextColumn("left"),
    rich.progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    rich.progress.TextColumn("{task.fields[note]}"),
  )
  with rich.progress.Progress(*columns, speed_estimate_period=60) as live:
    task = live.add_task(title, total=total, completed=completed, note="")
    yield _Live(live, task)


@dataclasses.dataclass
class _Live:
  live: rich.progress.Progress
  task: rich.progress.TaskID

  def update(self, completed: int, note: str = "") -> None:
    self.live.update(self.task, completed=completed, note=note)


class _Lines:
  def __init__(self, title: str, total: int | None, completed: int) -> None:
    self._title, self._total, self._first = title, total, completed
    self._start = time.monotonic()
    self._next = self._start
    self._print(completed)

  def update(self, completed: int, note: str = "") -> None:
    now = time.monotonic()
    if now < self._next and completed != self._total:
      return
    self._next = now + _LOG_EVERY_SECONDS
    spent = now - self._start
    rate = (completed - self._first) / spent if spent > 0 else 0.0
    if self._total is not None:
      left = f"{(self._total - completed) / rate:.0f} s left" if rate else "..."
      note = f"{left} {note}"
    self._print(completed, note)

  def _print(self, completed: int, note: str = "") -> None:
    of = "" if self._total is None else f"/{self._total}"
    told = f", {note}" if note else ""
    print(f"{self._title}: {completed}{of}{told}", flush=True)
