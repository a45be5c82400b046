"""A line of a deployment's history: who switched to what, when and why."""

import json
from typing import Annotated, Literal

import pydantic

from carnet import errors
from carnet.checkpoint import digest
from carnet.passport import fields, strict_json

LARGEST_BYTES = 1 << 16  # of a line
# the beginning of the passport's sha256, the step, and a number from 2 on if
# the same passport was signed anew
NAME_PATTERN = r"^[0-9a-f]{16}-([0-9]{1,16}|none)(\.[0-9]{1,6})?$"

Name = Annotated[str, pydantic.Field(pattern=NAME_PATTERN)]
Line = Annotated[str, pydantic.Field(min_length=1, max_length=4096)]


class Success(fields.Model):
  """What a policy was worth in simulation, and which evaluation says so.

  `rate` is None where the task has no notion of success; the interval is of
  95 %. `origin` is the step's own metrics or a file of `scripts/eval.py`.
  """

  rate: float | None
  low: float | None
  high: float | None
  mean_return: float | None
  episodes: fields.Count | None
  origin: Literal["metrics", "results"]
  results_sha256: fields.Sha256 | None


class Record(fields.Model):
  """One switch, announced before it is made.

  Attributes:
    before: sha256 of the line before, its end included; None in the first.
    checkpoint: the directory below `checkpoints` that becomes the current one.
    previous: the one that was current when this was written.
    public_key_sha256: of the key file that the signature was verified with.
    torn_sha256: of what a crash had left at the end, now in `history.torn`.
  """

  schema_version: Literal["1.0"]
  before: fields.Sha256 | None
  action: Literal["promote", "rollback"]
  utc: fields.Utc
  by: Line
  reason: Line
  checkpoint: Name
  previous: Name | None
  passport_sha256: fields.Sha256
  signoff_sha256: fields.Sha256
  verdict: Literal["pass", "soft_signal"]
  step: fields.Count | None
  run_id: fields.Name | None
  success: Success | None
  source: fields.Text | None
  public_key_sha256: fields.Sha256 | None
  torn_sha256: fields.Sha256 | None


def encode(record: Record) -> bytes:
  """Returns the line of a record."""
  body = record.model_dump(mode="json")
  return json.dumps(body, sort_keys=True, allow_nan=False).encode() + b"\n"


def decode(line: bytes, where: str) -> Record:
  """Returns the record in a line; UserError when it is none."""
  if len(line) > LARGEST_BYTES:
    raise errors.UserError(f"{where} has {len(line)} bytes")
  found = strict_json.decode(line, where, LARGEST_BYTES)
  try:
    return Record.model_validate_json(json.dumps(found))
  except pydantic.ValidationError as error:
    first = error.errors(include_url=False, include_input=False)[0]
    place = "/".join(map(str, first["loc"]))
    raise errors.UserError(f"{where}: /{place}: {first['msg']}") from error


def sha256(line: bytes) -> str:
  """Returns the digest that the next line carries."""
  return digest.data(line)


def check_line(text: str, flag: str) -> str:
  """Returns one line of text without spaces around it; UserError if it isn't.

  Args:
    text: as the user gave it.
    flag: how the message calls it.
  """
  found = text.strip()
  if not found or not found.isprintable() or len(found) > 4096:
    raise errors.UserError(f"{flag}: give one line of printable text")
  return found
