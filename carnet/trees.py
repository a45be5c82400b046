"""Pytrees as flat dictionaries `path -> leaf`, and back.

A path joins the names of dictionary keys, attributes and sequence indices with
"/": `{"encoder": (kernel, bias)}` has the paths "encoder/0" and "encoder/1".
Distinct leaves always get distinct paths, or the tree is refused: this is what
lets a path name a leaf in a file, a regular expression or an error message.
`None` and empty containers hold no leaf, so they exist in the target alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
from flax import nnx

from carnet import errors, paths

_DEEPEST = 400  # levels; other tools recurse through what is stored


def flatten(tree: Any, root: str = "") -> dict[str, Any]:
  """Returns `path -> leaf`; the paths begin with `root`.

  Without a root, a tree that is one leaf has the path "". An `nnx.Variable` is
  a leaf and appears as its value, so that a module's state has the same paths
  as its pure dictionary.

  Raises:
    UserError: two leaves share a path, or a key cannot be part of one.
  """
  flat: dict[str, Any] = {}
  for path, leaf in _entries(tree, root):
    if path in flat:
      raise errors.UserError(
        f"two leaves of the tree share the path '{path}': rename one of them"
      )
    flat[path] = leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf
  return flat


def unflatten(flat: Mapping[str, Any], target: Any) -> Any:
  """Returns the leaves of `flat` in the structure of `target`.

  Raises:
    UserError: `flat` lacks a path of `target`, or holds another one.
  """
  places = dict(_entries(target))
  missing = [path for path in places if path not in flat]
  unexpected = [path for path in flat if path not in places]
  if missing or unexpected:
    raise errors.UserError(
      f"leaves do not fit the target tree: missing {missing}, "
      f"unexpected {unexpected}"
    )
  leaves = [
    place.replace(flat[path]) if isinstance(place, nnx.Variable) else flat[path]
    for path, place in places.items()
  ]
  return jax.tree.unflatten(jax.tree.structure(target, is_leaf=_leaf), leaves)


def check_depth(tree: Any, root: str = "") -> None:
  """Refuses what is nested so deeply that Python or JAX could not walk it.

  Raises:
    UserError: it has more than 400 levels of lists, tuples and mappings.
  """
  level = {id(tree): tree}
  for _ in range(_DEEPEST + 1):
    level = {id(x): x for part in level.values() for x in _parts(part)}
  if level:
    raise _too_deep(root)


def _parts(node: Any) -> Iterable[Any]:
  if isinstance(node, list | tuple):
    return node
  return node.values() if isinstance(node, Mapping) else ()


def _too_deep(root: str) -> errors.UserError:
  name = f"'{root}'" if root else "the tree"
  return errors.UserError(
    f"{name} is nested more than {_DEEPEST} levels deep, or holds itself: "
    "stack its levels into arrays"
  )


def _entries(tree: Any, root: str = "") -> Iterator[tuple[str, Any]]:
  check_depth(tree, root)  # jax spoils Python's count of levels when it fails
  for keys, leaf in _leaves(tree, root):
    path = root
    for key in keys:
      path = paths.join(path, paths.check_name(_name(key, path), path))
    yield path, leaf


def _leaves(tree: Any, root: str) -> Iterator[tuple[Any, Any]]:
  try:
    found, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_leaf)
    return iter(found)
  except (RecursionError, SystemError) as error:  # jax wraps the former
    raise _too_deep(root) from error
  except ValueError as error:
    raise errors.UserError(
      f"'{root}' is not a tree that JAX can flatten ({error}): use keys of "
      "one kind in each dictionary"
    ) from error


def _leaf(node: Any) -> bool:
  return isinstance(node, nnx.Variable)


def _name(entry: Any, within: str) -> str:
  if isinstance(entry, jax.tree_util.SequenceKey):
    return str(entry.idx)
  if isinstance(entry, jax.tree_util.GetAttrKey):
    return entry.name
  key = getattr(entry, "key", entry)
  if isinstance(key, str):
    return key
  if isinstance(key, int) and not isinstance(key, bool):
    return str(key)
  raise errors.UserError(
    f"key {key!r} in '{within}' is a {type(key).__name__}: paths are made of "
    "strings and integers"
  )
