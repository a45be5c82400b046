"""Names of files that mean the same on every system."""

import functools
import unicodedata
from collections.abc import Iterable, Iterator

import pydantic

from carnet import errors, paths
from carnet.passport import fields, shown

_DEEPEST = 64  # directories within each other


def faults(names: Iterable[str]) -> Iterator[tuple[str, str]]:
  """Yields unsound names, cut to be shown, with what is wrong."""
  first: dict[str, str] = {}
  for name in names:
    text = shown.cut(name)
    if not _sound(name):
      yield text, f"{text} is no name that is safe everywhere"
    for place in _places(name):
      folded = unicodedata.normalize("NFC", place).casefold()
      other = first.setdefault(folded, place)
      if other != place:
        one = f"{shown.cut(other)} and {shown.cut(place)}"
        yield text, f"{one} are one name where case does not count"


@functools.cache
def _listable() -> pydantic.TypeAdapter:
  """What a passport may list."""
  return pydantic.TypeAdapter(fields.RelativePath)


def _sound(name: str) -> bool:
  try:
    _listable().validate_python(name)
    paths.check(name)
  except (pydantic.ValidationError, errors.UserError):
    return False
  return name.count("/") <= _DEEPEST


def _places(name: str) -> Iterator[str]:
  """Yields a path and those of the directories above it."""
  parts = name.split("/")
  for end in range(1, len(parts) + 1):
    yield "/".join(parts[:end])
