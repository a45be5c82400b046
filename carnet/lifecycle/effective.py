"""Which switches took effect, and what to go back to."""

from collections.abc import Iterator, Sequence

from carnet import errors
from carnet.lifecycle import records

_SHORTEST_PREFIX = 4  # of a passport's sha256


def flags(
  found: Sequence[records.Record], current: str | None
) -> tuple[bool, ...]:
  """Returns for each record whether its switch was made.

  A record is written before the switch, which may then have been killed; the
  next record tells what was current by then.
  """
  if not found:
    return ()
  after = [record.previous for record in found[1:]] + [current]
  return tuple(
    record.checkpoint == name for record, name in zip(found, after, strict=True)
  )


def made(
  found: Sequence[records.Record], current: str | None
) -> Iterator[records.Record]:
  """Yields the records whose switch was made."""
  done = flags(found, current)
  return (
    record for record, is_made in zip(found, done, strict=True) if is_made
  )


def of_current(found: Sequence[records.Record], current: str) -> records.Record:
  """Returns the record that made `current` the current one.

  Raises:
    UserError: the last record is of another, and did not follow this one.
  """
  for record in reversed(list(made(found, current))):
    if record.checkpoint == current:
      if record is found[-1] or found[-1].previous == current:
        return record
      break
  raise errors.UserError(
    f"the history does not say that {current} is current: somebody else has "
    "switched; promote again"
  )


def previous(
  found: Sequence[records.Record], current: str | None
) -> records.Record:
  """Returns what was promoted before, without what was rolled back from.

  Raises:
    UserError: there is nothing.
  """
  stack = _stack(found, current)
  if len(stack) < 2:
    raise errors.UserError("nothing to roll back to: nothing came before")
  return stack[-2]


def named(
  found: Sequence[records.Record], current: str | None, name: str
) -> records.Record:
  """Returns the newest switch to a checkpoint, by step or passport sha256.

  Args:
    found: the history.
    current: the name of the current checkpoint.
    name: a step, or the beginning of a passport's sha256.

  Raises:
    UserError: none or several checkpoints are meant.
  """
  known = {record.checkpoint: record for record in made(found, current)}
  matches = [r for r in known.values() if str(r.step) == name]
  if not matches and len(name) >= _SHORTEST_PREFIX:
    matches = [
      record
      for record in known.values()
      if record.checkpoint.startswith(name)
      or record.passport_sha256.startswith(name)
    ]
  if len(matches) == 1:
    return matches[0]
  if not matches:
    raise errors.unknown("checkpoint", name, known)
  names = ", ".join(record.checkpoint for record in matches)
  raise errors.UserError(f"'{name}' means several checkpoints: {names}")


def _stack(
  found: Sequence[records.Record], current: str | None
) -> list[records.Record]:
  """Returns what could be rolled back to, the current one last.

  A promotion goes on top. A rollback takes away all above its target, or the
  top alone where the target is not below it.
  """
  stack: list[records.Record] = []
  for record in made(found, current):
    names = [one.checkpoint for one in stack]
    if record.action == "rollback":
      below = [i for i, x in enumerate(names[:-1]) if x == record.checkpoint]
      del stack[below[-1] if below else -1 :]
    elif names[-1:] == [record.checkpoint]:
      stack.pop()
    stack.append(record)
  return stack
