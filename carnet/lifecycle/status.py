"""What is current, and whether it still is what was signed and promoted."""

import dataclasses
import pathlib
import shlex

from carnet import errors
from carnet.lifecycle import deployment as deployment_lib
from carnet.lifecycle import effective, gate, records
from carnet.passport import context


@dataclasses.dataclass(frozen=True)
class Status:
  """A deployment whose current checkpoint is valid.

  Attributes:
    path: of the current checkpoint; a later switch does not change it.
    record: the switch that made it current.
    notes: what a crash left; the next promotion or rollback clears it.
  """

  path: pathlib.Path
  record: records.Record
  notes: tuple[str, ...]


def status(
  deployment: pathlib.Path, asked: context.Options | None = None
) -> Status:
  """Returns what is current, after reading all of it against its sign-off.

  Args:
    deployment: its directory.
    asked: with which key it must be signed, and what it must fit.

  Raises:
    gate.Refused: it is not valid, with the code of `validate-checkpoint`.
    UserError: nothing is promoted, or the deployment was tampered with.
  """
  with deployment_lib.opened(deployment) as found:
    current = found.current()  # before the history, which is written first
    history = found.history()
    if current is None:
      raise errors.UserError(missing(deployment, history.switches))
    record = effective.of_current(history.switches, current)
    place = found.plain_place(current)
    gate.require_same(gate.require_signed(place, asked), record)
    told = notes(deployment, history.switches, history.torn, current)
    return Status(place, record, told)


def missing(deployment: pathlib.Path, found: tuple[records.Record, ...]) -> str:
  """Returns why nothing is current, and what to do."""
  if not found:
    return f"nothing is promoted in {deployment} yet"
  name = found[-1].checkpoint
  link = shlex.quote(str(deployment / deployment_lib.CURRENT))
  # what was current before a later switch must have been switched to
  if any(record.previous for record in found):
    return (
      f"{deployment} has no current though its history has {len(found)} "
      f"switches: somebody removed the link; put it back (ln -s checkpoints/"
      f"{name} {link}) and look at status, or promote again"
    )
  return (
    f"nothing is promoted in {deployment}: the promotion of {name} was "
    "interrupted before the switch, or somebody removed current since; "
    "promote it again"
  )


def notes(
  deployment: pathlib.Path,
  found: tuple[records.Record, ...],
  torn: bytes,
  current: str | None,
) -> tuple[str, ...]:
  """Returns what crashes and people left, a line each."""
  told = []
  if torn:
    told.append(
      f"the last line of the history was cut off by a crash ({len(torn)} "
      "bytes): it had no effect, the next switch moves it to history.torn"
    )
  if found and current is None:
    told.append(missing(deployment, found))
  elif found and found[-1].checkpoint != current:
    told.append(
      f"the last {found[-1].action}, to {found[-1].checkpoint}, was "
      "interrupted before the switch: run it again, or ignore it"
    )
  return tuple(told)
