"""Paths of leaves: names joined with "/", one path for each leaf of a tree."""

from collections.abc import Mapping
from typing import Any

from carnet import errors

_FORBIDDEN_NAMES = ("", ".", "..")


def join(*parts: str) -> str:
  """Returns the path through `parts`, of which empty ones are left out."""
  return "/".join(part for part in parts if part)


def check_name(name: str, within: str) -> str:
  """Returns `name` if it can be one part of a path.

  Raises:
    UserError: it is empty, a dot name, or has a slash or control character.
  """
  unfit = name in _FORBIDDEN_NAMES or "/" in name or "\\" in name
  if unfit or not name.isprintable():
    raise errors.UserError(
      f"the name {name!r} in '{within}' cannot be part of a path: use a "
      "printable name without slashes, other than '.' and '..'"
    )
  return name


def check(path: str) -> str:
  """Returns `path` if it is relative and each of its names is sound.

  Raises:
    UserError: one of its names cannot be part of a path.
  """
  for name in path.split("/"):
    check_name(name, path)
  return path


def nest(flat: Mapping[str, Any]) -> Any:
  """Returns nested dictionaries with string keys; the path "" is the root.

  Raises:
    UserError: one path is a leaf and a parent at once, as in "a" and "a/b".
  """
  if list(flat) == [""]:
    return flat[""]
  nested: dict[str, Any] = {}
  parents: set[str] = {""}
  for path, leaf in flat.items():
    *above, name = check(path).split("/")
    node = nested
    for depth, parent in enumerate(above):
      place = "/".join(above[: depth + 1])
      if parent in node and place not in parents:
        raise _leaf_and_parent(place)
      parents.add(place)
      node = node.setdefault(parent, {})
    if name in node:
      raise _leaf_and_parent(path)
    node[name] = leaf
  return nested


def _leaf_and_parent(path: str) -> errors.UserError:
  return errors.UserError(f"the path '{path}' is a leaf and a parent at once")
