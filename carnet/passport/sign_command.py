"""Signs a checkpoint off: SIGNOFF.json, and SIGNOFF.sig with a key.

Validates first, and refuses on any hard failure. No earlier sign-off survives
that, but where only --device-map or --target-repo fail, which are no facts of
the checkpoint. Soft findings are accepted in writing, with --reason.

A key is an elliptic one:
  openssl ecparam -name prime256v1 -genkey -noout -out key.pem
  openssl ec -in key.pem -pubout -out key.pub

exit codes:
  0  signed
  1  a hard check fails; nothing is signed
  2  wrong usage, soft findings without --reason, or a key that cannot sign;
     an earlier sign-off stays if it is still of the present files
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from carnet import errors, terminal
from carnet.checkpoint import directory
from carnet.passport import (
  command,
  context,
  exit_code,
  formats,
  oms_keys,
  schema,
  sign,
  writing,
)
from carnet.passport.formats import rows


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return command.run(_parser(), argv, _run)


def _parser() -> argparse.ArgumentParser:
  parser = command.Parser("sign-checkpoint", __doc__)
  parser.add_argument("checkpoint", metavar="CHECKPOINT", type=pathlib.Path)
  add = parser.add_argument
  add("--reason", default="", help="why soft findings are accepted: one line")
  add("--signer", help="who signs, as it will be read")
  add("--dry-run", action="store_true", help="print it, write nothing")
  add(
    "--private-key",
    metavar="FILE",
    type=command.file,
    help="PEM of an elliptic key; signs the whole directory",
  )
  add(
    "--password-variable",
    metavar="NAME",
    help="environment variable that holds the key's password",
  )
  add("--rerun", action="store_true", help="recompute what is claimed first")
  command.add_running(parser)
  command.add_surroundings(parser)
  return parser


def _run(flags: argparse.Namespace) -> int:
  path = context.resolve(flags.checkpoint)
  had_signature = os.path.lexists(path / directory.SIGNATURE)
  request = sign.Request(
    reason=flags.reason,
    signer=flags.signer,
    key=_key(flags),
    options=command.surroundings(flags),
    dry_run=flags.dry_run,
  )
  try:
    signoff, report = sign.sign(path, request)
  except sign.Refused as error:
    writing.tell(formats.FORMATS["text"](rows.Validation(error.report)))
    command.refuse(str(error))
    return int(exit_code.ExitCode.FAIL)
  if flags.dry_run:
    writing.say(schema.encode(signoff).decode())
    return 0
  place = path / directory.SIGNOFF
  writing.tell(
    f"{terminal.printable(str(place))}: {signoff.verdict}, "
    f"{len(signoff.files)} files, {len(report.results)} checks\n"
  )
  if had_signature and request.key is None:
    sys.stderr.write(
      f"{directory.SIGNATURE} is gone: it was of the earlier sign-off; "
      "--private-key FILE signs this one\n"
    )
  return 0


def _key(flags: argparse.Namespace) -> sign.Key | None:
  if flags.private_key is None:
    if flags.password_variable is not None:
      raise errors.UserError("give --password-variable with --private-key")
    return None
  password = None
  if flags.password_variable is not None:
    text = os.environ.get(flags.password_variable)
    if text is None:
      raise errors.UserError(
        f"--password-variable: there is no {flags.password_variable} in the "
        "environment"
      )
    password = text.encode()
  return sign.Key(oms_keys.read(flags.private_key), password)


if __name__ == "__main__":
  sys.exit(main())
