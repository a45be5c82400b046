"""JSON that comes back exactly as it was given, or is refused."""

import json
import math
from typing import Any

from carnet import errors
from carnet.checkpoint import faults

_LARGEST_BYTES = 1 << 28  # a parser should not be fed more than 256 MiB


def holds(value: Any) -> bool:
  """Tells whether `value` is made of JSON's own types and nothing else."""
  if type(value) is dict:
    return all(type(k) is str and holds(v) for k, v in value.items())
  if type(value) is list:
    return all(holds(item) for item in value)
  return value is None or type(value) in (str, int, float, bool)


def encode(value: Any, where: str) -> bytes:
  """Returns indented JSON of `value`, which messages call `where`.

  Raises:
    UserError: a part would not come back as it is; the message names it.
  """
  _check(value, where)
  text = json.dumps(value, indent=2, allow_nan=False)
  return text.encode() + b"\n"


def decode(content: bytes, where: str) -> Any:
  """Returns the value of JSON `content`, which messages call `where`.

  Raises:
    CorruptError: it is not JSON.
  """
  if len(content) > _LARGEST_BYTES:
    raise faults.CorruptError(f"{where} is too large to be read as JSON")
  try:
    return json.loads(content)
  except (ValueError, RecursionError) as error:
    raise faults.CorruptError(f"{where} is not JSON: {error}") from error


def _check(value: Any, where: str) -> None:
  if type(value) is dict:
    for key, item in value.items():
      if type(key) is not str:
        raise _refusal(where, f"has the key {key!r}", "use strings as keys")
      _check(item, f"{where}/{key}")
  elif type(value) is list:
    for index, item in enumerate(value):
      _check(item, f"{where}/{index}")
  elif type(value) is float:
    if not math.isfinite(value):
      raise _refusal(where, f"is {value}", "JSON has no such number")
  elif not holds(value):
    remedy = "use None, bool, int, float, str, list and dict"
    raise _refusal(where, f"is a {type(value).__name__}", remedy)


def _refusal(where: str, fault: str, remedy: str) -> errors.UserError:
  return errors.UserError(f"{where} {fault}, which JSON changes: {remedy}")
