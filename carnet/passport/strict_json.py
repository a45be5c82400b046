"""JSON from strangers: limits first, and one meaning for every reader."""

import json
import math
import pathlib
import re
from typing import Any

from carnet import errors
from carnet.checkpoint import plain_file
from carnet.passport import fields

LARGEST_BYTES = 1 << 23
DEEPEST = 64
# a text, which hides brackets, or a bracket
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def read(path: pathlib.Path, largest_bytes: int = LARGEST_BYTES) -> bytes:
  """Returns the content of a plain file that is not too large.

  Raises:
    CorruptError: it is not there, too large, a link, a pipe or a device.
  """
  return plain_file.read(path, largest_bytes)


def decode(
  content: bytes,
  where: str,
  largest_bytes: int = LARGEST_BYTES,
  longest_text: int = fields.LARGEST_TEXT,
) -> Any:
  """Returns the value of JSON `content`, which messages call `where`.

  Raises:
    UserError: too large or too deep, a key twice, a number that is none or
      that readers round, a text too long, or not JSON at all.
  """
  if len(content) > largest_bytes:
    raise errors.UserError(
      f"{where} has {len(content)} bytes: at most {largest_bytes} are read"
    )
  _check_depth(content, where)
  try:
    value = json.loads(
      content.decode("utf-8"),
      object_pairs_hook=_object,
      parse_constant=_constant,
      parse_float=_float,
      parse_int=_int,
    )
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f"{where} is no sound JSON: {error}") from error
  _check_texts(value, where, longest_text)
  return value


def _check_depth(content: bytes, where: str) -> None:
  """Counts brackets outside of texts, before a parser recurses into them."""
  depth = 0
  for found in _TOKEN.finditer(content):
    token = found.group()
    if token in (b"[", b"{"):
      depth += 1
      if depth > DEEPEST:
        raise errors.UserError(
          f"{where} is nested in more than {DEEPEST} levels"
        )
    elif token in (b"]", b"}"):
      depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found: dict[str, Any] = {}
  for name, value in pairs:
    if name in found:
      raise ValueError(f"the key {name[:200]!r} is there twice")
    found[name] = value
  return found


def _constant(name: str) -> Any:
  raise ValueError(f"{name} is no number of JSON")


def _float(text: str) -> float:
  value = float(text)
  if not math.isfinite(value):
    raise ValueError(f"{text} is beyond what a float holds")
  return value


def _int(text: str) -> int:
  if len(text) > 17 or abs(int(text)) > fields.LARGEST_INTEGER:
    raise ValueError(
      f"the integer {text[:40]} is beyond 2^53, readers round it"
    )
  return int(text)


def _check_texts(value: Any, where: str, longest: int) -> None:
  rest = [value]
  while rest:
    item = rest.pop()
    if isinstance(item, str) and len(item) > longest:
      raise errors.UserError(
        f"{where} holds a text of {len(item)} characters: at most {longest}"
      )
    if isinstance(item, dict):
      rest += [*item.keys(), *item.values()]
    elif isinstance(item, list):
      rest += item
