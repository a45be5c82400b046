"""Shows, checks, compares and prunes checkpoints.

scripts/checkpoint.py ls runs/a            the steps of a run, sound or not
scripts/checkpoint.py show runs/a          what the newest step holds
scripts/checkpoint.py verify runs/a        reads every byte of every step
scripts/checkpoint.py diff runs/a runs/b   leaf by leaf, by their digests
scripts/checkpoint.py prune runs/a --latest=2 --best=1 --metric=success

A path is a workdir, a directory of steps or (for show, verify and diff) one
step. Exit codes: 0; 1 if verify finds faults or diff finds differences; 2 for
mistakes.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import rich.console
from absl import flags

from carnet import cli, errors, progress
from carnet.checkpoint import (
  comparison,
  directory,
  inspection,
  listing,
  pruning,
  retention,
  tables,
)

_JSON = flags.DEFINE_bool("json", False, "Print one JSON document instead.")
_ALL = flags.DEFINE_bool("all", False, "show, diff: leave no row out.")
_VALUES = flags.DEFINE_bool(
  "values", False, "diff: read unequal float leaves for their largest change."
)
_LATEST = flags.DEFINE_integer(
  "latest", 1, "prune: keep the newest so many steps.", 1
)
_BEST = flags.DEFINE_integer(
  "best", 0, "prune: keep the best so many steps by --metric.", 0
)
_METRIC = flags.DEFINE_string("metric", "", "prune: what best refers to.")
_LOWER_IS_BETTER = flags.DEFINE_bool(
  "lower_is_better", False, "prune: the best metric is the lowest."
)
_EVERY_STEPS = flags.DEFINE_integer(
  "every_steps", 0, "prune: keep multiples of this; 0 keeps none.", 0
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "prune: delete nothing.")
_KEEP = ("latest", "best", "every_steps")
_OWN_FLAGS = {
  "ls": (),
  "show": ("all",),
  "verify": (),
  "diff": ("all", "values"),
  "prune": (*_KEEP, "metric", "lower_is_better", "dry_run"),
}


def main(argv: Sequence[str]) -> int:
  """Runs one command; returns its exit code."""
  paths = {name: count for name, (_, count) in _COMMANDS.items()}
  name, words = cli.command(argv, paths, _OWN_FLAGS)
  command, _ = _COMMANDS[name]
  try:
    return command(*map(pathlib.Path, words))
  except BrokenPipeError:  # whoever reads, such as head, has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
  except OSError as error:
    raise errors.UserError(f"{error.filename}: {error.strerror}") from error


def _ls(path: pathlib.Path) -> int:
  found = listing.make(path)
  width = _console().width
  _print(dataclasses.asdict(found), tables.listing(found, width))
  return 0


def _show(path: pathlib.Path) -> int:
  found = inspection.contents(path)
  _print(dataclasses.asdict(found), tables.contents(found, _rows()))
  return 0


def _verify(path: pathlib.Path) -> int:
  places = inspection.targets(path)
  live = len(places) > 1 and sys.stdout.isatty() and not _JSON.value
  faults = {}
  with contextlib.ExitStack() as stack:
    if live:
      bar = stack.enter_context(progress.bar("verify", len(places)))
    for done, place in enumerate(places, 1):
      found = inspection.verify(place)
      if os.path.lexists(place):  # a training run may just have deleted it
        faults[str(place)] = found
      if live:
        bar.update(done, place.name)
  _print({"steps": faults}, tables.verification(faults))
  return 1 if any(faults.values()) else 0


def _diff(a: pathlib.Path, b: pathlib.Path) -> int:
  found = comparison.compare(a, b)
  if _VALUES.value:
    found = comparison.with_values(found)
  facts = dataclasses.asdict(found) | {"equal": found.equal}
  _print(facts, tables.differences(found, _rows()))
  return 0 if found.equal else 1


def _prune(path: pathlib.Path) -> int:
  if not any(flags.FLAGS[name].present for name in _KEEP):
    raise errors.UserError(
      "say what to keep: --latest=N, --best=N with --metric, --every_steps=N"
    )
  if _METRIC.value and not _BEST.value:
    raise errors.UserError("--metric needs --best=N, the number of steps")
  keep = retention.Retention(
    latest=_LATEST.value,
    best=_BEST.value,
    metric=_METRIC.value,
    higher_is_better=not _LOWER_IS_BETTER.value,
    every_steps=_EVERY_STEPS.value,
  )
  lock = directory.Lock(inspection.root_of(path))
  if not _DRY_RUN.value:
    lock.acquire()
  try:
    facts = _pruned(path, keep)
  finally:
    lock.release()
  _print(facts, tables.pruned(facts))
  return 0


def _pruned(path: pathlib.Path, keep: retention.Retention) -> dict[str, Any]:
  found = listing.make(path)
  known = {name for step in found.steps for name in step.metrics}
  if keep.best and keep.metric not in known:
    raise errors.unknown("metric", keep.metric, known)
  unsound = frozenset(step.step for step in found.steps if step.fault)
  root = pathlib.Path(found.directory)
  gone = pruning.prune(root, keep, unsound, _DRY_RUN.value)
  kept = {step.step for step in found.steps} - {*gone.steps, *unsound}
  return {
    "directory": found.directory,
    "dry_run": _DRY_RUN.value,
    "deleted": list(gone.steps),
    "kept": sorted(kept),
    "unsound": sorted(unsound),
    "chunks": list(gone.chunks),
    "size_bytes": gone.size_bytes,
  }


def _rows() -> int | None:
  return None if _ALL.value else tables.ROWS


def _print(facts: Any, parts: tables.Parts) -> None:
  if _JSON.value:
    print(json.dumps(_finite(facts), indent=2))
    return
  console = _console()
  for part in parts:
    console.print(part)


def _console() -> rich.console.Console:
  return rich.console.Console(highlight=False)


def _finite(value: Any) -> Any:
  """Returns JSON in which NaN and infinities are text: JSON has none."""
  if isinstance(value, dict):
    return {key: _finite(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return str(value)
  return value


_COMMANDS: dict[str, tuple[Callable[..., int], int]] = {
  "ls": (_ls, 1),
  "show": (_show, 1),
  "verify": (_verify, 1),
  "diff": (_diff, 2),
  "prune": (_prune, 1),
}

if __name__ == "__main__":
  cli.run(main, positional=True)
