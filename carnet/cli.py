"""The way into every script: flags in; one line and exit code 2 on mistakes."""

import re
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from ml_collections import config_dict

from carnet import errors

_OVERRIDE = re.compile(r"--(?:no)?config\.([\w.]+)")


def run(main: Callable[[Sequence[str]], int | None]) -> None:
  """Runs `main(argv)`; exits 2 on a `UserError` or bad flag, 130 on Ctrl-C."""
  try:
    app.run(main, flags_parser=_parse_flags)
  except errors.UserError as error:
    _fail(str(error))
  except errors.Interrupted as stop:
    sys.stderr.write(f"{stop}; run the same command again to go on\n")
    sys.exit(stop.exit_code)
  except KeyboardInterrupt:
    sys.stderr.write("interrupted; run the same command again to go on\n")
    sys.exit(130)


def _fail(message: str) -> None:
  sys.stderr.write(f"error: {' '.join(message.split())}\n")
  sys.exit(2)


def _parse_flags(argv: Sequence[str]) -> list[str]:
  try:
    rest = flags.FLAGS(list(argv))
  except (AttributeError, KeyError) as error:
    _fail(str(_unknown_key(argv) or error))
  except (flags.Error, TypeError, ValueError, OSError) as error:
    _fail(f"{error} (--help lists the flags)")
  if len(rest) > 1:
    _fail(f"unexpected argument '{rest[1]}': flags are written --name=value")
  return rest


def _unknown_key(argv: Sequence[str]) -> errors.UserError | None:
  """Returns the error for the first override of a key that does not exist."""
  config = flags.FLAGS["config"].value if "config" in flags.FLAGS else None
  for argument in argv:
    override = _OVERRIDE.match(argument)
    if override is None or config is None:
      continue
    node = config
    for key in override.group(1).split("."):
      if not isinstance(node, config_dict.ConfigDict) or key not in node:
        known = node.keys() if isinstance(node, config_dict.ConfigDict) else ()
        path = f"config.{override.group(1)}"
        return errors.unknown(f"config key '{path}':", key, known)
      node = node[key]
  return None
