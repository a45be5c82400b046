"""What the installed commands share: flags, one-line refusals, exit codes."""

import argparse
import contextlib
import io
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from carnet import errors, terminal
from carnet.passport import context, ending, exit_code, writing


class Parser(argparse.ArgumentParser):
  """One line for a mistake, as everywhere in carnet."""

  def __init__(self, name: str, description: str | None) -> None:
    super().__init__(
      prog=name,
      description=description,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
    )

  def error(self, message: str) -> NoReturn:
    """Ends the program."""
    sys.exit(refuse(f"{message} (--help shows the usage)"))


def run(
  parser: argparse.ArgumentParser,
  argv: Sequence[str] | None,
  main: Callable[[argparse.Namespace], int],
) -> int:
  """Returns the exit code of `main`; 2, and one line, for a user's mistake.

  SIGTERM and SIGHUP end it as Ctrl-C does: what it began is undone first.
  """
  if sys.stderr is None:  # closed by the shell: nobody wants to know
    sys.stderr = io.StringIO()
  try:
    with ending.heeded():
      return main(parser.parse_args(argv))
  except errors.UserError as error:
    for note in getattr(error, "__notes__", ()):  # somebody else's traceback
      sys.stderr.write(
        "".join(f"{terminal.printable(x)}\n" for x in note.splitlines())
      )
    return refuse(str(error))
  except BrokenPipeError:  # whoever reads, such as head, has seen enough
    return int(exit_code.ExitCode.UNUSABLE)
  except OSError as error:
    where = f"{error.filename}: " if error.filename else ""
    return refuse(f"{where}{writing.reason(error)}")
  except KeyboardInterrupt as stop:
    with contextlib.suppress(OSError):  # a terminal that was closed
      sys.stderr.write("interrupted\n")
    return ending.exit_code(stop)


def refuse(message: str) -> int:
  """Prints one line; returns the exit code of what could not be done."""
  sys.stderr.write(f"error: {terminal.printable(' '.join(message.split()))}\n")
  return int(exit_code.ExitCode.UNUSABLE)


def add_surroundings(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `surroundings`."""
  add = parser.add_argument_group("what to compare with").add_argument
  add(
    "--target-repo",
    metavar="PATH",
    type=folder,
    help="working tree of the repository that will run the policy",
  )
  add(
    "--dataset-path",
    metavar="PATH",
    type=recorded,
    help="the data that it was trained on",
  )
  add(
    "--device-map",
    metavar="FILE",
    type=file,
    help="JSON: the serial number and USB path of each camera here",
  )
  add(
    "--live-frames",
    metavar="DIRECTORY",
    type=folder,
    help="a picture of each camera now, CAMERA.png: are two exchanged?",
  )
  add(
    "--trust-package",
    metavar="NAME",
    action="append",
    default=[],
    help="a package whose source may be searched for the model's class; it is "
    "not imported (repeatable)",
  )


def add_running(parser: argparse.ArgumentParser) -> None:
  """Adds --entry and --import: how a policy of another program runs."""
  add = parser.add_argument_group("how to run the policy").add_argument
  add(
    "--entry",
    metavar="MODULE:FUNCTION",
    help="how to run a policy of another program: returns a Subject",
  )
  add(
    "--import",
    dest="modules",
    metavar="MODULE",
    action="append",
    default=[],
    help="import first, such as the module of an environment (repeatable)",
  )


def surroundings(flags: argparse.Namespace) -> context.Options:
  """Returns what the flags of `add_surroundings` and `add_running` say."""
  return context.Options(
    target_repo=flags.target_repo,
    dataset_path=flags.dataset_path,
    device_map=flags.device_map,
    live_frames=flags.live_frames,
    trust_packages=tuple(flags.trust_package),
    rerun=flags.rerun,
    entry=flags.entry,
    modules=tuple(flags.modules),
    show_progress=True,
  )


def recorded(text: str) -> pathlib.Path:
  """The type of a flag: a path, also as training had it, `lerobot:PATH`."""
  kind, _, place = text.partition(":")
  told = kind.isalnum() and place and not os.path.lexists(text)
  return existing(place if told else text)


def existing(text: str) -> pathlib.Path:
  """The type of a flag: a path where something is."""
  return _checked(text, pathlib.Path.exists, "there is no")


def file(text: str) -> pathlib.Path:
  """The type of a flag: a file that is there."""
  return _checked(text, pathlib.Path.is_file, "there is no file")


def folder(text: str) -> pathlib.Path:
  """The type of a flag: a directory that is there."""
  return _checked(text, pathlib.Path.is_dir, "there is no directory")


def _checked(
  text: str, holds: Callable[[pathlib.Path], bool], complaint: str
) -> pathlib.Path:
  path = pathlib.Path(text)
  if not holds(path):
    raise argparse.ArgumentTypeError(f"{complaint} {text}")
  return path
