"""Components: anything with `state()` and `load_state(state)`.

`adapt` makes one of whatever is registered, so that a pytree, a Flax NNX
module, an optax state and a Grain iterator need no adapter by the user.
A state made of JSON's types is kept as readable JSON, one made of chunks
(`chunks.Chunked`) in files that steps share; any other state is a pytree of
arrays and numbers, kept as a flat dictionary `path -> array`.

Numbers become arrays under jit, and JSON cannot hold infinite ones, so a state
of numbers may be JSON in one step and arrays in the next: each restores into
the other, leaf by leaf.

A component has a root path: its name, or `name/process_0_of_2` where each of
several processes has a state of its own.
"""

import base64
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from flax import nnx

from carnet import errors, trees
from carnet.checkpoint import chunks, documents, kinds, leaves

ARRAYS = "arrays"
JSON = "json"
CHUNKS = "chunks"
ROOT_KEY = "value"  # of a component that is one array
_BYTES = "carnet:bytes"  # marks what an iterator gave as bytes


@runtime_checkable
class Component(Protocol):
  """What a checkpoint can keep."""

  def state(self) -> Any:
    """Returns JSON types, `Chunked`, or a pytree of arrays and numbers."""

  def load_state(self, state: Any) -> None:
    """Takes over a state, of the structure that `state()` has."""


@dataclasses.dataclass
class Value:
  """An immutable pytree or JSON value; training puts the new one in `value`."""

  value: Any

  def state(self) -> Any:
    """Returns the present value."""
    return self.value

  def load_state(self, state: Any) -> None:
    """Replaces the value."""
    self.value = state


@dataclasses.dataclass(frozen=True)
class Module:
  """A Flax NNX module or optimizer, restored in place."""

  module: Any

  def state(self) -> Any:
    """Returns the pure dictionary of its variables."""
    return nnx.to_pure_dict(nnx.state(self.module))

  def load_state(self, state: Any) -> None:
    """Overwrites the variables of the module."""
    current = nnx.state(self.module)
    nnx.replace_by_pure_dict(current, state)
    nnx.update(self.module, current)


@dataclasses.dataclass(frozen=True)
class Iterator:
  """A data iterator with `get_state` and `set_state`, as Grain's are."""

  iterator: Any

  def state(self) -> Any:
    """Returns its position; bytes are JSON in base64."""
    state = self.iterator.get_state()
    if isinstance(state, bytes):
      return {_BYTES: base64.b64encode(state).decode()}
    return state

  def load_state(self, state: Any) -> None:
    """Moves it to a saved position.

    Raises:
      UserError: the iterator does not take it.
    """
    try:
      if isinstance(state, dict) and list(state) == [_BYTES]:
        state = base64.b64decode(state[_BYTES], validate=True)
      self.iterator.set_state(state)
    except (IndexError, KeyError, TypeError, ValueError) as error:
      raise errors.UserError(
        f"the iterator refuses its saved position ({error}): was it saved "
        "over other data or with another number of workers?"
      ) from error


def adapt(component: Any, name: str = "the component") -> Component:
  """Returns a component for anything that can be registered.

  Methods count that the class has: what an object makes up when asked for an
  attribute, as `nnx.Rngs` does, is no method.

  Raises:
    UserError: it is a single object that no checkpoint can hold.
  """
  if _has(component, "state", "load_state"):
    return component
  if isinstance(component, nnx.Pytree):
    return Module(component)
  if _has(component, "get_state", "set_state"):
    return Iterator(component)
  _refuse_unfit(component, name)
  return Value(component)


def differs_by_process(component: Component, state: Any) -> bool:
  """Tells whether several processes surely have several states of it."""
  return isinstance(component, Iterator) or isinstance(state, chunks.Chunked)


def flatten(root: str, state: Any, whole: bool | None = None) -> dict[str, Any]:
  """Returns `component path -> leaf`; JSON and chunks are one leaf, `root`.

  With `whole` False, JSON that `has_numbers_alone` is flattened like arrays.

  Raises:
    UserError: two leaves share a path, or a name cannot be part of one.
  """
  if _is_whole(root, state, whole):
    return {root: state}
  return trees.flatten(state, root)


def specs(
  root: str, state: Any, whole: bool | None = None
) -> dict[str, leaves.Spec]:
  """Returns `component path -> what it is`, the target of a restore.

  Raises:
    UserError: a leaf is of a kind that cannot be saved.
  """
  kind = None if whole is False else _whole(root, state)
  if kind is not None:
    return {root: kind}
  flat = flatten(root, state, whole=False)
  return {path: leaves.spec(leaf, path) for path, leaf in flat.items()}


def unflatten(
  flat: Mapping[str, Any], root: str, state: Any, whole: bool | None = None
) -> Any:
  """Returns the leaves of `flatten` in the structure of `state`."""
  if _is_whole(root, state, whole):
    return flat[root]
  relative = {path[len(root) + 1 :]: leaf for path, leaf in flat.items()}
  return trees.unflatten(relative, state)


def has_numbers_alone(state: Any) -> bool:
  """Tells whether a JSON value holds numbers and nothing else but None.

  Raises:
    UserError: it is nested too deeply.
  """
  trees.check_depth(state)
  if isinstance(state, chunks.Chunked) or not documents.holds(state):
    return False
  found = jax.tree.leaves(state)
  return bool(found) and all(type(x) in (bool, int, float) for x in found)


def name_of(path: str) -> str:
  """Returns the name of the component that a path belongs to."""
  return path.split("/")[0]


def key(path: str) -> str:
  """Returns the name of a leaf within its component's directory."""
  name = name_of(path)
  return path.removeprefix(f"{name}/") if path != name else ROOT_KEY


def json_file(root: str) -> str:
  """Returns where a step keeps the JSON of a component, or of its chunks."""
  return f"{root}/state.json"


@dataclasses.dataclass(frozen=True)
class Arrays:
  """An array component at the moment of a save."""

  kind = ARRAYS
  specs: Mapping[str, leaves.Spec]
  contents: Mapping[str, np.ndarray | leaves.Shards]


@dataclasses.dataclass(frozen=True)
class Json:
  """A JSON component at the moment of a save."""

  kind = JSON
  content: bytes


@dataclasses.dataclass(frozen=True)
class Chunks:
  """A component made of chunks at the moment of a save."""

  kind = CHUNKS
  content: bytes
  chunks: tuple[chunks.Chunk, ...]


Payload = Arrays | Json | Chunks


def capture(root: str, state: Any) -> Payload:
  """Returns a component's state, independent of what training does next.

  Raises:
    UserError: a leaf cannot be saved; the message names it.
  """
  whole = _whole(root, state)
  if whole == leaves.CHUNKS:
    return Chunks(documents.encode(state.facts, root), state.chunks)
  if whole == leaves.JSON:
    return Json(documents.encode(state, root))
  flat = flatten(root, state, whole=False)
  _refuse_almost_json(root, state, list(flat.values()))
  found = {path: leaves.spec(leaf, path) for path, leaf in flat.items()}
  for leaf in flat.values():
    leaves.prefetch(leaf)
  return Arrays(found, {p: leaves.snapshot(x, p) for p, x in flat.items()})


def _whole(root: str, state: Any) -> leaves.Spec | None:
  if isinstance(state, chunks.Chunked):
    return leaves.CHUNKS
  trees.check_depth(state, root)
  if not documents.holds(state):
    return None
  lost = any(map(_is_infinite, jax.tree.leaves(state)))
  return None if lost and has_numbers_alone(state) else leaves.JSON


def _is_whole(root: str, state: Any, whole: bool | None) -> bool:
  return _whole(root, state) is not None if whole is None else whole


def _is_infinite(leaf: Any) -> bool:
  return type(leaf) is float and not math.isfinite(leaf)


def _refuse_almost_json(name: str, state: Any, found: list[Any]) -> None:
  text = any(type(leaf) is str for leaf in found)
  if text and not any(kinds.is_array(leaf) for leaf in found):
    documents.encode(state, name)  # names the part that is not JSON


def _refuse_unfit(component: Any, name: str) -> None:
  if component is None:
    raise errors.UserError(
      f"{name} is None: register what training updates, such as a pytree of "
      "arrays, or an object with state() and load_state(state)"
    )
  if isinstance(component, chunks.Chunked | nnx.Variable | str):
    return
  if jax.tree_util.all_leaves([component]) and not isinstance(component, int):
    leaves.spec(component, name)


def _has(component: Any, *methods: str) -> bool:
  if isinstance(component, type):
    return False
  kind = type(component)
  return all(callable(getattr(kind, name, None)) for name in methods)
