"""The line of a JSON file that a pointer leads to."""

import json
import re
from collections.abc import Iterator

# a text, closed or not, so that no content makes the scan start over; a
# bracket, a comma, the end of a line, or a word such as a number
_TOKEN = re.compile(
  rb'"(?:[^"\\]|\\.)*"?|[\[\]{},]|\n|[^\s\[\]{},:"]+', re.DOTALL
)
_OPENING = (b"[", b"{")
_CLOSING = (b"]", b"}")
_Path = tuple[str | int | None, ...]


def line(content: bytes, pointer: str) -> int:
  """Returns the line (from 1) of what `pointer` names, or of its last parent.

  The content need not be sound: what is not found is at line 1.
  """
  wanted = tuple(
    part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")
  )[1:]
  best, found = 0, 1
  for path, number in _places(content, len(wanted)):
    depth = len(path)
    if depth > best and tuple(map(str, path)) == wanted[:depth]:
      best, found = depth, number
  return found


def _places(content: bytes, deepest: int) -> Iterator[tuple[_Path, int]]:
  """Yields the path of every member and item down to a depth, and its line."""
  kinds: list[bytes] = []
  path: list[str | int | None] = []  # None: the next text is a key
  number = 1
  for match in _TOKEN.finditer(content):
    token = match.group()
    if token == b"\n":
      number += 1
    elif token in _CLOSING:
      if kinds:
        kinds.pop()
        path.pop()
    elif token == b",":
      if kinds:
        last = path[-1]
        path[-1] = last + 1 if isinstance(last, int) else None
    else:
      is_key = bool(path) and path[-1] is None
      if is_key:
        path[-1] = _text(token)
      if path and len(path) <= deepest and (is_key or kinds[-1] == b"["):
        yield tuple(path), number
      if token in _OPENING:
        kinds.append(token)
        path.append(0 if token == b"[" else None)


def _text(token: bytes) -> str:
  try:
    return str(json.loads(token))
  except ValueError:
    return ""
