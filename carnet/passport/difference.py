"""Where two JSON values differ, as JSON pointers."""

import dataclasses
import json
from collections.abc import Collection
from typing import Any

_LONGEST = 120  # characters of a value in a message
_MOST = 50  # differences in a message


class _Absent:
  """What is not there at all."""

  def __repr__(self) -> str:
    return "nothing"


ABSENT = _Absent()


@dataclasses.dataclass(frozen=True)
class Difference:
  """A place where two values differ."""

  where: str
  expected: Any
  found: Any

  def __str__(self) -> str:
    expected, found = text(self.expected), text(self.found)
    return f"{self.where or '/'} is {found}, expected {expected}"


def differences(expected: Any, found: Any, where: str = "") -> list[Difference]:
  """Returns every leaf in which `found` is not as `expected`.

  1 and 1.0 are equal, 1 and true are not.
  """
  if isinstance(expected, dict) and isinstance(found, dict):
    names = [*expected, *(name for name in found if name not in expected)]
    pairs = [
      (str(n), expected.get(n, ABSENT), found.get(n, ABSENT)) for n in names
    ]
  elif isinstance(expected, list) and isinstance(found, list):
    pairs = [
      (
        str(index),
        expected[index] if index < len(expected) else ABSENT,
        found[index] if index < len(found) else ABSENT,
      )
      for index in range(max(len(expected), len(found)))
    ]
  else:
    return (
      [] if _equal(expected, found) else [Difference(where, expected, found)]
    )
  rows: list[Difference] = []
  for name, one, other in pairs:
    rows += differences(one, other, f"{where}/{escape(name)}")
  return rows


def without(
  rows: Collection[Difference], names: Collection[str]
) -> list[Difference]:
  """Returns the rows whose last part of the pointer is none of `names`."""
  return [row for row in rows if row.where.rpartition("/")[2] not in names]


def summary(rows: Collection[Difference]) -> str:
  """Returns one line that lists them."""
  listed = "; ".join(map(str, list(rows)[:_MOST]))
  more = len(rows) - _MOST
  return f"{listed}; and {more} more" if more > 0 else listed


def text(value: Any) -> str:
  """Returns a value as JSON, cut where it is long."""
  if isinstance(value, _Absent):
    return repr(value)
  found = json.dumps(value, sort_keys=True)
  return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}..."


def escape(name: str) -> str:
  """Returns a name as a part of a JSON pointer (RFC 6901)."""
  return name.replace("~", "~0").replace("/", "~1")


def _equal(one: Any, other: Any) -> bool:
  return isinstance(one, bool) == isinstance(other, bool) and one == other
