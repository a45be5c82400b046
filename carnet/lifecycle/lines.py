"""What was done and what is current, as lines of text."""

from collections.abc import Iterator

from carnet.lifecycle import history, promotion, records, simulated
from carnet.lifecycle import status as status_lib

_SIGNED = {"pass": "signed pass", "soft_signal": "signed soft"}
_DONE = {"promote": "promoted", "rollback": "rolled back to"}


def switched(found: promotion.Switched) -> Iterator[str]:
  """Yields lines that tell what was done."""
  record = found.record
  yield f"{_DONE[record.action]} {_described(record)}"
  yield f"before: {record.previous or 'nothing'}"
  yield f"path: {found.path}"
  if found.torn:
    yield (
      f"a crash had cut off a line of {len(found.torn)} bytes: it now is in "
      f"{history.TORN}"
    )


def status(found: status_lib.Status) -> Iterator[str]:
  """Yields lines that tell what is current."""
  record = found.record
  done = _DONE[record.action]
  yield f"valid: {found.path}"
  yield f"{done} {_described(record)}"
  yield f"at {record.utc} by {record.by}: {record.reason}"


def _described(record: records.Record) -> str:
  step = "an unknown step" if record.step is None else f"step {record.step}"
  worth = record.success and simulated.described(record.success)
  parts = [step, _SIGNED[record.verdict], worth or "not evaluated"]
  return f"{record.checkpoint}: {', '.join(parts)}"
