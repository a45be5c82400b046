"""Where numbers go: JSON lines always, TensorBoard when it is installed.

Metric names have two levels, `loss/l1`, and are stable: passports quote them.
"""

import contextlib
import importlib.util
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from carnet import errors


@runtime_checkable
class Writer(Protocol):
  """Takes the scalars of one step."""

  def write(self, step: int, scalars: Mapping[str, int | float]) -> None:
    """Records `scalars` at `step`."""

  def close(self) -> None:
    """Flushes and ends."""


class JsonLines:
  """Appends one JSON object a call to a file.

  Lines beyond `first_step`, which a killed run wrote after the checkpoint it
  resumes from, are dropped: the file reads like that of one run.
  """

  def __init__(self, path: pathlib.Path, first_step: int = 0) -> None:
    kept = list(_lines_until(path, first_step))
    draft = path.with_suffix(".tmp")
    with _telling(path):
      draft.write_text("".join(kept))
      os.replace(draft, path)
      self._file = path.open("a", buffering=1)

  def write(self, step: int, scalars: Mapping[str, int | float]) -> None:
    """Appends a line; numbers that are not finite become null."""
    values = {k: v if math.isfinite(v) else None for k, v in scalars.items()}
    with _telling(self._file.name):
      self._file.write(json.dumps({"step": step} | values) + "\n")

  def close(self) -> None:
    """Closes the file."""
    with _telling(self._file.name):
      self._file.close()


@contextlib.contextmanager
def _telling(path: pathlib.Path | str) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise errors.UserError(f"cannot write {path}: {error.strerror}") from error


def _lines_until(path: pathlib.Path, last_step: int) -> Iterator[str]:
  if not path.exists():
    return
  for line in path.read_text().splitlines(keepends=True):
    # a kill can leave the last line half-written
    with contextlib.suppress(ValueError, KeyError, TypeError):
      if json.loads(line)["step"] <= last_step:
        yield line


class TensorBoard:
  """Writes event files through tensorboardX, which needs no TensorFlow."""

  def __init__(self, directory: pathlib.Path, first_step: int = 0) -> None:
    import tensorboardX

    self._writer = tensorboardX.SummaryWriter(
      str(directory), purge_step=first_step + 1
    )

  def write(self, step: int, scalars: Mapping[str, int | float]) -> None:
    """Adds one point to the curve of each name."""
    for name, value in scalars.items():
      self._writer.add_scalar(name, value, step)

  def close(self) -> None:
    """Flushes the event file."""
    self._writer.close()


class Several:
  """Writes to each of several writers."""

  def __init__(self, *writers: Writer) -> None:
    self._writers = writers

  def write(self, step: int, scalars: Mapping[str, int | float]) -> None:
    """Hands the scalars to every writer."""
    for writer in self._writers:
      writer.write(step, scalars)

  def close(self) -> None:
    """Closes every writer."""
    for writer in self._writers:
      writer.close()


def open_writer(workdir: pathlib.Path, first_step: int = 0) -> Writer:
  """Returns the writer of a run: metrics.jsonl and, if installed, events."""
  lines = JsonLines(workdir / "metrics.jsonl", first_step)
  if importlib.util.find_spec("tensorboardX") is None:
    return lines
  return Several(lines, TensorBoard(workdir / "tensorboard", first_step))
