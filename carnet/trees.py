"""Pytrees as flat dictionaries `path -> leaf`, and back.

A path joins the names of dictionary keys, attributes and sequence indices with
"/": `{"encoder": (kernel, bias)}` has the paths "encoder/0" and "encoder/1".
Distinct leaves always get distinct paths, or the tree is refused: this is what
lets a path name a leaf in a file, a regular expression or an error message.
`None` and empty containers hold no leaf, so they exist in the target alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
from flax import nnx

from carnet import errors, paths


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


def _entries(tree: Any, root: str = "") -> Iterator[tuple[str, Any]]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_leaf)
  for keys, leaf in leaves:
    path = root
    for key in keys:
      path = paths.join(path, paths.check_name(_name(key, path), path))
    yield path, leaf


def _leaf(node: Any) -> bool:
  return isinstance(node, nnx.Variable)


def _name(entry: Any, within: str) -> str:
  if isinstance(entry, jax.tree_util.SequenceKey):
    return str(entry.idx)
  if isinstance(entry, jax.tree_util.GetAttrKey):
    return entry.name
  key = entry.key
  if isinstance(key, str):
    return key
  if isinstance(key, int) and not isinstance(key, bool):
    return str(key)
  raise errors.UserError(
    f"key {key!r} in '{within}' is a {type(key).__name__}: paths are made of "
    "strings and integers"
  )
