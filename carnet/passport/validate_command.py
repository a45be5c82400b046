"""Validates a checkpoint against its passport, from its files alone.

CHECKPOINT is a step directory, a directory of steps, a workdir (of several
steps, the newest complete one counts), or another program's directory with a
MODEL_PASSPORT.json.

exit codes:
  0  pass; soft findings are allowed
  1  a hard failure: do not load it
  2  wrong usage, nothing there that can be read, or an unfit key, device map
     or dataset of yours
  3  sound, but the sign-off or its signature is missing or wrong
  4  soft findings or unchecked ones, with --strict
"""

import argparse
import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence

from carnet import errors, terminal
from carnet.passport import (
  command,
  context,
  formats,
  statistics,
  validate,
  writing,
)
from carnet.passport.formats import catalogue, rows


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return command.run(_parser(), argv, _run)


def _run(flags: argparse.Namespace) -> int:
  if flags.list_checks:
    if flags.format not in ("text", "json"):
      raise errors.UserError("--list-checks has --format text and json only")
    text = catalogue.render(flags.format == "json", flags.verbose)
    writing.put(flags.output, text.encode())
    return 0
  if flags.checkpoint is None:
    raise errors.UserError("CHECKPOINT is missing (--help shows the usage)")
  path = context.resolve(flags.checkpoint)
  _check_places(flags, path)
  found = context.Context(path, _options(flags))
  told = rows.Validation(
    validate.examine(found),
    strict=flags.strict,
    show_not_checked=flags.show_not_checked,
    verbose=flags.verbose,
    colour=flags.output == writing.STANDARD_OUTPUT and _is_coloured(),
    passport=_passport_bytes(found),
  )
  text = formats.FORMATS[flags.format](told)
  if flags.verbose and flags.format == "text":
    text += statistics.text(found)
  writing.put(flags.output, text.encode(errors="backslashreplace"))
  if flags.html is not None:
    _write_page(told, found, flags.html)
  return int(told.exit_code)


def _write_page(
  told: rows.Validation, found: context.Context, place: str
) -> None:
  from carnet.passport import page  # only who asks for a page pays for it

  text = page.build(told, found)
  writing.put(place, text.encode(errors="backslashreplace"))
  if place != writing.STANDARD_OUTPUT:
    sys.stderr.write(f"report: {terminal.printable(place)}\n")


def _parser() -> argparse.ArgumentParser:
  parser = command.Parser("validate-checkpoint", __doc__)
  parser.add_argument(
    "checkpoint", metavar="CHECKPOINT", nargs="?", type=pathlib.Path
  )
  _add_demands(parser)
  command.add_running(parser)
  command.add_surroundings(parser)
  _add_output(parser)
  return parser


def _add_demands(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument_group("what is asked for").add_argument
  add(
    "--require-signoff",
    action="store_true",
    help="refuse a checkpoint that nobody has signed off: the gate",
  )
  add(
    "--public-key",
    metavar="FILE",
    type=command.file,
    help="the sign-off must be signed with the key to this one (PEM)",
  )
  add(
    "--min-signed-utc",
    metavar="TIME",
    type=_time,
    help="refuse a sign-off older than this, such as 2026-01-31T00:00:00Z",
  )
  add(
    "--strict",
    action="store_true",
    help="exit 4 if anything is soft, or was not checked",
  )
  add(
    "--rerun",
    action="store_true",
    help="recompute what the passport claims: smoke tests, golden actions",
  )
  add(
    "--skip-section",
    metavar="NAME",
    action="append",
    default=[],
    help="leave a section out; it counts as not checked (repeatable)",
  )


def _add_output(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument_group("output").add_argument
  add("--format", choices=tuple(formats.FORMATS), default="text")
  add(
    "--output",
    metavar="FILE",
    default=writing.STANDARD_OUTPUT,
    help='write there; "-", the default, is standard output',
  )
  add(
    "--html",
    metavar="FILE",
    help="write a page for people as well: one file, no network needed",
  )
  add(
    "--show-not-checked",
    action="store_true",
    help="list what was not checked, and what it needs",
  )
  add(
    "--verbose",
    action="store_true",
    help="what each check states, and statistics of the data",
  )
  add(
    "--list-checks",
    action="store_true",
    help="print the catalogue with severities and needs, and stop",
  )


def _time(text: str) -> str:
  try:
    return context.utc(text)
  except errors.UserError as error:
    raise argparse.ArgumentTypeError(str(error)) from error


def _options(flags: argparse.Namespace) -> context.Options:
  return dataclasses.replace(
    command.surroundings(flags),
    require_signoff=flags.require_signoff,
    public_key=flags.public_key,
    skip_sections=tuple(flags.skip_section),
    min_signed_utc=flags.min_signed_utc,
  )


def _check_places(flags: argparse.Namespace, checkpoint: pathlib.Path) -> None:
  """Refuses, before anything is examined, what could not be written."""
  for place in (flags.output, flags.html):
    if place not in (None, writing.STANDARD_OUTPUT):
      _check_place(place, checkpoint)
  if flags.html is not None and _same(flags.html, flags.output):
    raise errors.UserError(
      "--html and --output are the same place: give each its own"
    )


def _check_place(text: str, checkpoint: pathlib.Path) -> None:
  place = pathlib.Path(text)
  if not text or place.is_dir():
    raise errors.UserError(f"cannot write '{text}': give the name of a file")
  # what is examined would no longer be the same
  if place.resolve().is_relative_to(checkpoint.resolve()):
    raise errors.UserError(
      f"{place} lies in the checkpoint, whose files are all signed: write it "
      "elsewhere"
    )
  if not place.absolute().parent.is_dir():
    raise errors.UserError(f"there is no directory {place.parent} to write to")


def _same(one: str, other: str) -> bool:
  if writing.STANDARD_OUTPUT in (one, other):
    return one == other
  return os.path.realpath(one) == os.path.realpath(other)


def _passport_bytes(found: context.Context) -> bytes:
  try:
    return found.passport_bytes
  except errors.UserError:  # a check has said so
    return b""


def _is_coloured() -> bool:
  is_terminal = sys.stdout is not None and sys.stdout.isatty()
  return is_terminal and not os.environ.get("NO_COLOR")


if __name__ == "__main__":
  sys.exit(main())
