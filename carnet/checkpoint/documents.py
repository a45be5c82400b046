"""JSON that comes back exactly as it was given, or is refused."""

import json
import math
from collections.abc import Iterator
from typing import Any

from carnet import errors
from carnet.checkpoint import faults

LARGEST_BYTES = 1 << 28  # a parser should not be fed more than 256 MiB
_DEEPEST = 100  # levels; Python itself refuses some hundreds


def holds(value: Any) -> bool:
  """Tells whether `value` is made of JSON's own types and nothing else.

  What is nested too deeply to tell counts as such: `encode` refuses it.
  """
  return all(all(map(_is_part, level)) for level in _levels(value))


def encode(value: Any, where: str) -> bytes:
  """Returns indented JSON of `value`, which messages call `where`.

  Raises:
    UserError: a part would not come back as it is; the message names it.
  """
  if _is_deep(value):
    raise errors.UserError(
      f"{where} is nested in more than {_DEEPEST} levels: use fewer"
    )
  _check(value, where)
  text = json.dumps(value, indent=2, allow_nan=False)
  return text.encode() + b"\n"


def decode(content: bytes, where: str) -> Any:
  """Returns the value of JSON `content`, which messages call `where`.

  Raises:
    CorruptError: it is not JSON.
  """
  if len(content) > LARGEST_BYTES:
    raise faults.CorruptError(f"{where} is too large to be read as JSON")
  try:
    value = json.loads(content)
  except (ValueError, RecursionError) as error:
    raise faults.CorruptError(f"{where} is not JSON: {error}") from error
  if _is_deep(value):
    raise faults.CorruptError(
      f"{where} is nested in more than {_DEEPEST} levels"
    )
  return value


def _levels(value: Any) -> Iterator[list[Any]]:
  """Yields what is nested equally deeply, as far as it may be nested."""
  level = [value]
  for _ in range(_DEEPEST + 2):
    if not level:
      return
    yield level
    # each once, though it may be in several places, or in itself
    containers = {id(x): x for x in level if type(x) in (dict, list)}
    level = [
      item
      for container in containers.values()
      for item in (container.values() if type(container) is dict else container)
    ]


def _is_deep(value: Any) -> bool:
  return sum(1 for _ in _levels(value)) > _DEEPEST + 1


def _is_part(value: Any) -> bool:
  if type(value) is dict:
    return all(type(key) is str for key in value)
  return value is None or type(value) in (list, str, int, float, bool)


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
  elif not _is_part(value):
    remedy = "use None, bool, int, float, str, list and dict"
    raise _refusal(where, f"is a {type(value).__name__}", remedy)


def _refusal(where: str, fault: str, remedy: str) -> errors.UserError:
  return errors.UserError(f"{where} {fault}, which JSON changes: {remedy}")
