"""Issues the passport of a checkpoint: MODEL_PASSPORT.json.

CHECKPOINT is a step directory, a directory of steps, a workdir, or another
program's directory with a config.json (scripts/dump_config.py writes one).

The first phase reads files and repositories alone. The second runs the policy
in a fresh process, through its public interface, and writes what it answered
to real observations. What nobody could find out stays null and is listed.

exit codes:
  0  written
  2  something is missing, dirty or contradictory, or cannot be written; what
     was there before is left as it was
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from carnet import terminal
from carnet.checkpoint import directory
from carnet.passport import (
  command,
  fields,
  gaps,
  generate,
  history,
  schema,
  strict_json,
  writing,
)
from carnet.passport.static import draft, given, required, robot

_LONGEST = 512  # characters of a name of the schema


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return command.run(_parser(), argv, _run)


def _parser() -> argparse.ArgumentParser:
  parser = command.Parser("generate-passport", __doc__)
  parser.add_argument("checkpoint", metavar="CHECKPOINT", type=pathlib.Path)
  add = parser.add_argument
  add(
    "--target-repo",
    metavar="PATH",
    type=pathlib.Path,
    help="repository that will feed the policy; clean, its commit is recorded",
  )
  add(
    "--training-repo",
    metavar="PATH",
    type=pathlib.Path,
    help="repository that trained it, where the launch did not record it",
  )
  add(
    "--dataset-repo",
    metavar="ID[@REVISION]",
    action="append",
    type=_dataset,
    default=[],
    help="a dataset, where the launch did not record it; may be repeated",
  )
  add(
    "--loader-class",
    metavar="DOTTED.PATH",
    action="append",
    type=_name,
    default=[],
    help="its loader: one for each --dataset-repo",
  )
  add(
    "--known-issue",
    metavar="FILE",
    type=pathlib.Path,
    action="append",
    default=[],
    help="JSON of a known issue, as the schema has it; may be repeated",
  )
  add(
    "--setup",
    metavar="FILE",
    type=command.file,
    help="JSON of what only a person knows: cameras, units, rate, versions "
    "that break (docs/passport.md)",
  )
  add(
    "--allow-missing",
    metavar="FIELD",
    action="append",
    default=[],
    help="go on without it: " + ", ".join(required.HOW) + "; may be repeated",
  )
  add(
    "--reason",
    type=_reason,
    default="",
    help="why it is missing: becomes a known issue",
  )
  _add_second_phase(parser)
  command.add_running(parser)
  return parser


def _add_second_phase(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument_group("second phase").add_argument
  add(
    "--static-only",
    action="store_true",
    help="leave it out: no JAX, and nothing that is measured",
  )
  add(
    "--dataset-path",
    metavar="PATH",
    type=pathlib.Path,
    help="the demonstrations, if they are not where the run had them",
  )
  add(
    "--python",
    metavar="FILE",
    default=sys.executable,
    help="interpreter of the model's own environment",
  )


def _run(flags: argparse.Namespace) -> int:
  path = draft.resolve(flags.checkpoint)
  told = given.Given(
    argv=tuple(terminal.printable(word) for word in sys.argv),
    target_repo=flags.target_repo,
    training_repo=flags.training_repo,
    dataset_repos=tuple(flags.dataset_repo),
    loader_classes=tuple(flags.loader_class),
    known_issues=tuple(
      schema.decode_part(history.KnownIssue, strict_json.read(x), str(x))
      for x in flags.known_issue
    ),
    setup=robot.read(flags.setup) if flags.setup else None,
    allow_missing=tuple(flags.allow_missing),
    reason=flags.reason,
    show_progress=True,
  )
  options = []
  for name in ("entry", "dataset_path"):
    if getattr(flags, name):
      options.append(f"--{name}={getattr(flags, name)}")
  options += [f"--import={name}" for name in flags.modules]
  found = generate.generate(
    path, told, not flags.static_only, options, flags.python
  )
  place = terminal.printable(str(path / directory.PASSPORT))
  writing.tell(f"{place}\n{gaps.text(found)}\n")
  return 0


def _dataset(text: str) -> str:
  """The type of a flag: a name, which may have a revision."""
  _name(text.partition("@")[0])
  return text


def _reason(text: str) -> str:
  """The type of a flag: a text as the schema has it."""
  if len(text) > fields.LARGEST_TEXT:
    raise argparse.ArgumentTypeError(
      f"{len(text)} characters, at most {fields.LARGEST_TEXT}"
    )
  return text


def _name(text: str) -> str:
  """The type of a flag: a name as the schema has it."""
  if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
    raise argparse.ArgumentTypeError(
      f"{text[:40]!r} is no name of 1 to {_LONGEST} printable characters"
    )
  return text


if __name__ == "__main__":
  sys.exit(main())
