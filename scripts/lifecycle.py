"""Promotes signed checkpoints to what robots run, and rolls back.

scripts/lifecycle.py candidates runs/a --to=/srv/policy
scripts/lifecycle.py promote runs/a --to=/srv/policy --reason="best of three"
scripts/lifecycle.py package runs/a --to=policy.tar --public_key=team.pub
scripts/lifecycle.py rollback /srv/policy --reason="drops cubes at noon"
scripts/lifecycle.py rollback /srv/policy --to=48000 --reason="known good"
scripts/lifecycle.py log /srv/policy
scripts/lifecycle.py status /srv/policy --public_key=team.pub

A deployment always points at one signed checkpoint, DEPLOYMENT/current.
Exit codes: 0; 1 if a gate refuses (a check of the passport, or the success in
simulation); 3 if only the sign-off is missing or not valid, as
validate-checkpoint has it; 2 for mistakes, for a history that was changed, and
if there is nothing to show or to go back to.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import flags

from carnet import cli, errors, terminal
from carnet.lifecycle import candidates as candidates_lib
from carnet.lifecycle import deployment as deployment_lib
from carnet.lifecycle import (
  effective,
  gate,
  lines,
  packing,
  promotion,
  rolling_back,
)
from carnet.lifecycle import status as status_lib
from carnet.passport import context

_TO = flags.DEFINE_string(
  "to",
  None,
  "promote, candidates: the deployment directory. package: the archive, a new "
  "file. rollback: a step, or the "
  "beginning of a passport's sha256; else what was promoted before.",
)
_REASON = flags.DEFINE_string("reason", None, "promote, rollback: why.")
_BY = flags.DEFINE_string(
  "by", "", "promote, rollback: who; the login name if unset."
)
_MIN_SUCCESS = flags.DEFINE_float(
  "min_success", 0.8, "promote: the least success rate in simulation.", 0, 1
)
_MIN_RETURN = flags.DEFINE_float(
  "min_return",
  None,
  "promote: the least mean return, if a task has no success.",
)
_USE_LOWER_BOUND = flags.DEFINE_bool(
  "use_lower_bound",
  False,
  "promote: compare the lower end of the 95 % interval, not the rate.",
)
_RESULTS = flags.DEFINE_string(
  "results", None, "promote: results.json of an evaluation filed elsewhere."
)
_NO_COPY = flags.DEFINE_bool(
  "no_copy", False, "promote: the checkpoint lies in the deployment already."
)
_PUBLIC_KEY = flags.DEFINE_string(
  "public_key", None, "The sign-off must be signed with the key to this (PEM)."
)
_TARGET_REPO = flags.DEFINE_string(
  "target_repo", None, "The working tree that will feed the policy must fit."
)
_DEVICE_MAP = flags.DEFINE_string(
  "device_map", None, "The cameras of the robot must fit: see docs/passport.md."
)
_MIN_SIGNED_UTC = flags.DEFINE_string(
  "min_signed_utc", None, "No sign-off older than, as 2026-01-31T00:00:00Z."
)
_QUICK = flags.DEFINE_bool(
  "quick", False, "candidates: believe the papers, read no other file."
)
_PATH = flags.DEFINE_bool(
  "path", False, "status: print the path of the current checkpoint alone."
)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON document instead.")
_FIT = ("public_key", "target_repo", "device_map", "min_signed_utc")
_DONE = ("reason", "by", "json", *_FIT)
_OWN_FLAGS = {
  "candidates": ("to", "public_key", "quick", "json"),
  "promote": (
    *("to", "min_success", "min_return", "use_lower_bound", "results"),
    *("no_copy", *_DONE),
  ),
  "package": ("to", "json", *_FIT),
  "rollback": ("to", *_DONE),
  "log": ("json",),
  "status": ("path", "json", *_FIT),
}


def main(argv: Sequence[str]) -> int:
  """Runs one command; returns its exit code."""
  name, (path,) = cli.command(argv, dict.fromkeys(_COMMANDS, 1), _OWN_FLAGS)
  try:
    _COMMANDS[name](pathlib.Path(path))
    sys.stdout.flush()
  except gate.Refused as error:
    message = terminal.printable(" ".join(str(error).split()))
    sys.stderr.write(f"refused: {message}\n")
    return error.exit_code
  except BrokenPipeError:  # whoever reads, such as head, has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2
  except OSError as error:
    raise errors.UserError(f"{error.filename}: {error.strerror}") from error
  return 0


def _candidates(path: pathlib.Path) -> None:
  found = candidates_lib.candidates(
    path, _deployment(required=False), _public_key(), _QUICK.value
  )
  if _JSON.value:
    _print_json({"candidates": [_plain(row) for row in found]})
    return
  from carnet.lifecycle import tables  # a start script needs no rich

  tables.show(tables.candidates(found), _width())


def _promote(path: pathlib.Path) -> None:
  deployment = _deployment(required=True)
  assert deployment is not None
  demands = gate.Demands(
    _MIN_SUCCESS.value, _MIN_RETURN.value, _USE_LOWER_BOUND.value
  )
  results = _RESULTS.value
  request = dataclasses.replace(
    _request(),
    demands=demands,
    results=pathlib.Path(results) if results else None,
    copy=not _NO_COPY.value,
  )
  _print_switched(promotion.promote(path, deployment, request))


def _package(path: pathlib.Path) -> None:
  if not _TO.value:
    raise errors.UserError("say where to: --to=ARCHIVE.tar")
  place = pathlib.Path(_TO.value)
  signed = packing.pack(path, place, _asked())
  if _JSON.value:
    facts = {"checkpoint": signed.name, "verdict": signed.signoff.verdict}
    _print_json({"path": str(place)} | facts)
    return
  _print_lines(lines.packed(signed, place))


def _rollback(path: pathlib.Path) -> None:
  _print_switched(rolling_back.rollback(path, _request(), _TO.value or ""))


def _log(path: pathlib.Path) -> None:
  with deployment_lib.opened(path) as found:
    current, history = found.current(), found.history()
  done = effective.flags(history.switches, current)
  notes = status_lib.notes(path, history.switches, history.torn, current)
  if _JSON.value:
    rows = [
      row.model_dump(mode="json") | {"made": made}
      for row, made in zip(history.switches, done, strict=True)
    ]
    facts = {"current": current, "head": history.head, "notes": notes}
    _print_json(facts | {"records": rows})
    return
  _print_lines(lines.log(history, done, current, notes, _width()))


def _status(path: pathlib.Path) -> None:
  found = status_lib.status(path, _asked())
  for note in found.notes:
    sys.stderr.write(f"note: {terminal.printable(note)}\n")
  if _PATH.value:
    print(found.path)
  elif _JSON.value:
    record = found.record.model_dump(mode="json")
    _print_json(
      {"path": str(found.path), "record": record, "notes": found.notes}
    )
  else:
    _print_lines(lines.status(found))


def _request() -> promotion.Request:
  if not _REASON.value:
    raise errors.UserError("say why: --reason='one line'")
  return promotion.Request(_REASON.value, _BY.value, _asked())


def _deployment(required: bool) -> pathlib.Path | None:
  if required and not _TO.value:
    raise errors.UserError("say where to: --to=DEPLOYMENT_DIR")
  return pathlib.Path(_TO.value) if _TO.value else None


def _asked() -> context.Options:
  return context.Options(
    public_key=_public_key(),
    target_repo=_path(_TARGET_REPO, pathlib.Path.is_dir, "directory"),
    device_map=_path(_DEVICE_MAP, pathlib.Path.is_file, "file"),
    min_signed_utc=_min_signed_utc(),
    show_progress=True,
  )


def _public_key() -> pathlib.Path | None:
  return _path(_PUBLIC_KEY, pathlib.Path.is_file, "file")


def _path(
  flag: flags.FlagHolder, holds: Callable[[pathlib.Path], bool], kind: str
) -> pathlib.Path | None:
  if flag.value is None:
    return None
  path = pathlib.Path(flag.value)
  # an empty name is no permission to go without
  if not flag.value or not holds(path):
    raise errors.UserError(f"--{flag.name}: there is no {kind} '{path}'")
  return path


def _min_signed_utc() -> str | None:
  text = _MIN_SIGNED_UTC.value
  return None if text is None else context.utc(text, "--min_signed_utc: ")


def _plain(row: candidates_lib.Candidate) -> dict[str, Any]:
  success = row.success.model_dump(mode="json") if row.success else None
  return vars(row) | {"success": success}


def _print_switched(found: promotion.Switched) -> None:
  if _JSON.value:
    record = found.record.model_dump(mode="json")
    torn = found.torn.decode(errors="backslashreplace") or None
    _print_json({"path": str(found.path), "record": record, "torn": torn})
    return
  _print_lines(lines.switched(found))


def _print_json(facts: Any) -> None:
  print(json.dumps(facts, indent=2))


def _print_lines(found: Iterable[str]) -> None:
  for line in found:
    print(terminal.printable(line))


def _width() -> int | None:
  """Returns how wide the terminal is, None where there is none."""
  return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


_COMMANDS: dict[str, Callable[[pathlib.Path], None]] = {
  "candidates": _candidates,
  "promote": _promote,
  "package": _package,
  "rollback": _rollback,
  "log": _log,
  "status": _status,
}

if __name__ == "__main__":
  cli.run(main, positional=True)
