"""Looks at demonstrations before anybody trains on them.

scripts/dataset.py lerobot:data/so101
scripts/dataset.py lerobot:user/name@revision --html=so101.html
scripts/dataset.py hdf5:data/transfer_cube --json
scripts/dataset.py rlds:data/bridge/1.0.0 --episodes=50 --full

A path without a colon is taken for what its files are. Exit codes: 0; 1 where
something severe was found; 2 for mistakes.
"""

import contextlib
import json
import pathlib
import sys
from collections.abc import Sequence

import rich.console
from absl import flags

from act.inspection import examine, pictures, report, tables
from act.recordings import base, opening
from carnet import cli, errors, progress

_JSON = flags.DEFINE_bool("json", False, "Print one JSON document instead.")
_HTML = flags.DEFINE_string("html", "", "Write a page with films to this file.")
_SKIP_BAD = flags.DEFINE_bool(
  "skip_bad_episodes",
  False,
  "Unsound episodes are no severe finding: training leaves them out as well.",
)
_FULL = flags.DEFINE_bool("full", False, "Look at every picture, not at some.")
_EPISODES = flags.DEFINE_integer(
  "episodes", 0, "Look at the first so many; 0 is all.", 0
)


def main(argv: Sequence[str]) -> int:
  """Inspects the one dataset that is named; returns the exit code."""
  if len(argv) != 2:
    raise errors.UserError(
      f"name one dataset, not {len(argv) - 1} (--help shows examples)"
    )
  page = pathlib.Path(_HTML.value) if _HTML.value else None
  if page is not None:
    _check_writable(page)
  # what is unsound is a finding here, and stops nothing
  options = base.Options(episodes=_EPISODES.value, skip_bad=True)
  recording = opening.open(argv[1], options)
  with contextlib.redirect_stdout(sys.stderr):  # where progress goes
    found = _examine(recording)
    if page is not None:
      _write(page, found, recording)
  if _JSON.value:
    print(json.dumps(found.to_json(), indent=1, allow_nan=False))
  else:
    tables.show(found, rich.console.Console(highlight=False))
    if page is not None:
      print(f"page: {page}")
  return 1 if found.count("severe") else 0


def _check_writable(path: pathlib.Path) -> None:
  """Raises UserError where the page cannot be written, before any work."""
  try:
    is_new = not path.exists()
    with path.open("ab"):
      pass
    if is_new:
      path.unlink()
  except FileNotFoundError as error:
    raise errors.UserError(
      f"--html={path}: there is no directory for it"
    ) from error
  except OSError as error:
    raise errors.UserError(f"--html={path}: {error.strerror}") from error


def _examine(recording: base.Recording) -> report.Report:
  total = pictures.count(recording, _FULL.value)
  with progress.bar("episodes", total) as bar:
    return examine.examine(
      recording,
      full=_FULL.value,
      skip_bad=_SKIP_BAD.value,
      whole=not _EPISODES.value,
      progress=bar.update,
    )


def _write(
  path: pathlib.Path, found: report.Report, recording: base.Recording
) -> None:
  from act.inspection import page, strips

  made = page.build(found, strips.cut(recording, found.findings))
  try:
    path.write_text(made, encoding="utf-8")
  except OSError as error:
    raise errors.UserError(f"--html={path}: {error.strerror}") from error


if __name__ == "__main__":
  cli.run(main, positional=True)
