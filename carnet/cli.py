"""The way into every script: flags in; one line and exit code 2 on mistakes."""

import errno
import functools
import logging as python_logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from absl import app, flags, logging

from carnet import allocator, errors, terminal

# what is wrong with a path or a disk, and not with the program
_OF_PLACES = (
  *(errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS),
  *(errno.ENOTDIR, errno.ELOOP, errno.ENOSPC, errno.EDQUOT),
)


def run(
  main: Callable[[Sequence[str]], int | None], positional: bool = False
) -> None:
  """Runs `main(argv)`; exits 2 on a `UserError` or bad flag, 130 on Ctrl-C.

  Words that are no flags reach `main` when `positional`, else they are refused.
  """

  def quiet(argv: Sequence[str]) -> int | None:
    allocator.keep_freed_memory()
    # libraries tell of every file they write; --verbosity=0 shows it again
    if not flags.FLAGS["verbosity"].present:
      logging.set_verbosity(logging.FATAL)  # and Orbax of every failure
      python_logging.getLogger("carnet").setLevel(python_logging.WARNING)
    return main(argv)

  parse = functools.partial(_parse_flags, positional=positional)
  try:
    app.run(quiet, flags_parser=parse)
  except errors.UserError as error:
    for note in getattr(error, "__notes__", ()):  # somebody else's traceback
      sys.stderr.write(
        "".join(f"{terminal.printable(x)}\n" for x in note.splitlines())
      )
    _fail(str(error))
  except BrokenPipeError:  # whoever reads, such as head, has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
  except OSError as error:
    if error.errno not in _OF_PLACES or error.filename is None:
      raise
    _fail(f"{error.filename}: {error.strerror}")
  except errors.Interrupted as stop:
    sys.stderr.write(f"{stop}; run the same command again to go on\n")
    sys.exit(stop.exit_code)
  except KeyboardInterrupt:
    sys.stderr.write("interrupted; run the same command again to go on\n")
    sys.exit(130)


def command(
  argv: Sequence[str],
  paths: Mapping[str, int],
  own_flags: Mapping[str, Sequence[str]],
) -> tuple[str, list[str]]:
  """Returns which of a script's commands was asked for, and its paths.

  Args:
    argv: as `main` gets it.
    paths: how many a command takes, one or two.
    own_flags: those that a command heeds, of all that any of them does.

  Raises:
    UserError: there is no such command, or it takes other paths or flags.
  """
  name, *words = argv[1:] or [""]
  if name not in paths:
    raise errors.unknown("command", name, paths)
  if len(words) != paths[name]:
    wanted = "two paths" if paths[name] == 2 else "one path"
    raise errors.UserError(
      f"{name} takes {wanted}, got {len(words)} (--help shows examples)"
    )
  for owner, own in own_flags.items():
    for flag in own:
      if flags.FLAGS[flag].present and flag not in own_flags[name]:
        raise errors.UserError(f"--{flag} is for {owner}: {name} ignores it")
  return name, words


def _fail(message: str) -> None:
  sys.stderr.write(f"error: {terminal.printable(' '.join(message.split()))}\n")
  sys.exit(2)


def _parse_flags(argv: Sequence[str], positional: bool) -> list[str]:
  try:
    rest = flags.FLAGS([argv[0], *map(_underscored, argv[1:])])
  except (AttributeError, KeyError) as error:
    # ml_collections names the key and the nearest one, quoted twice over
    message = str(error).replace("\\n", ": ").translate({39: None, 92: None})
    _fail(f"unknown config key {message}")
  except (flags.Error, TypeError, ValueError, OSError) as error:
    _fail(f"{error} (--help lists the flags)")
  _check_config_file()
  if len(rest) > 1 and not positional:
    _fail(f"unexpected argument '{rest[1]}': flags are written --name=value")
  return rest


def _underscored(word: str) -> str:
  """Returns --skip-bad-episodes as --skip_bad_episodes, if that is a flag."""
  name, equals, value = word.partition("=")
  flag = name.lstrip("-").replace("-", "_")
  known = flag in flags.FLAGS or flag.removeprefix("no") in flags.FLAGS
  if not name.startswith("--") or "-" not in name[2:] or not known:
    return word
  return f"--{flag}{equals}{value}"


def _check_config_file() -> None:
  """A config file that cannot be read is reported by its first use."""
  if "config" not in flags.FLAGS or flags.FLAGS["config"].value is None:
    return
  try:
    flags.FLAGS["config"].value.keys()
  except OSError as error:
    # the message names every path that was tried; its first line is noise
    _fail("--config cannot be loaded: " + str(error).split("\n", 1)[-1])
