"""Components: anything with `state()` and `load_state(state)`.

`adapt` makes one of whatever is registered, so that a pytree, a Flax NNX
module, an optax state and a Grain iterator need no adapter by the user.
A state made of JSON's types is kept as readable JSON, one made of chunks
(`chunks.Chunked`) in files that steps share; any other state is a pytree of
arrays and numbers, kept as a flat dictionary `path -> array`.

A component has a root path: its name, or `name/process_0_of_2` where each of
several processes has a state of its own.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from flax import nnx

from carnet import errors, trees
from carnet.checkpoint import chunks, documents, leaves

ARRAYS = "arrays"
JSON = "json"
CHUNKS = "chunks"
ROOT_KEY = "value"  # of a component that is one array


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
    """Returns its position as JSON."""
    state = self.iterator.get_state()
    return {"text": state.decode()} if isinstance(state, bytes) else state

  def load_state(self, state: Any) -> None:
    """Moves it to a saved position.

    Raises:
      UserError: the iterator does not take it.
    """
    if isinstance(state, dict) and list(state) == ["text"]:
      state = state["text"].encode()
    try:
      self.iterator.set_state(state)
    except (IndexError, KeyError, TypeError, ValueError) as error:
      raise errors.UserError(
        f"the iterator refuses its saved position ({error}): was it saved "
        "over other data or with another number of workers?"
      ) from error


def adapt(component: Any) -> Component:
  """Returns a component for anything that can be registered."""
  if _has(component, "state", "load_state"):
    return component
  if isinstance(component, nnx.Pytree):
    return Module(component)
  if _has(component, "get_state", "set_state"):
    return Iterator(component)
  return Value(component)


def differs_by_process(component: Component, state: Any) -> bool:
  """Tells whether several processes surely have several states of it."""
  return isinstance(component, Iterator) or isinstance(state, chunks.Chunked)


def flatten(root: str, state: Any) -> dict[str, Any]:
  """Returns `component path -> leaf`; JSON and chunks are one leaf, `root`.

  Raises:
    UserError: two leaves share a path, or a name cannot be part of one.
  """
  if _whole(state) is not None:
    return {root: state}
  return trees.flatten(state, root)


def specs(root: str, state: Any) -> dict[str, leaves.Spec]:
  """Returns `component path -> what it is`, the target of a restore.

  Raises:
    UserError: a leaf is of a kind that cannot be saved.
  """
  whole = _whole(state)
  if whole is not None:
    return {root: whole}
  flat = flatten(root, state)
  return {path: leaves.spec(leaf, path) for path, leaf in flat.items()}


def unflatten(root: str, flat: Mapping[str, Any], state: Any) -> Any:
  """Returns the leaves of `flatten` in the structure of `state`."""
  if _whole(state) is not None:
    return flat[root]
  relative = {path[len(root) + 1 :]: leaf for path, leaf in flat.items()}
  return trees.unflatten(relative, state)


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
  whole = _whole(state)
  if whole == leaves.CHUNKS:
    return Chunks(documents.encode(state.facts, root), state.chunks)
  if whole == leaves.JSON:
    return Json(documents.encode(state, root))
  _refuse_almost_json(root, state)
  flat = flatten(root, state)
  found = {path: leaves.spec(leaf, path) for path, leaf in flat.items()}
  for leaf in flat.values():
    leaves.prefetch(leaf)
  return Arrays(found, {p: leaves.snapshot(x, p) for p, x in flat.items()})


def _whole(state: Any) -> leaves.Spec | None:
  if isinstance(state, chunks.Chunked):
    return leaves.CHUNKS
  return leaves.JSON if documents.holds(state) else None


def _refuse_almost_json(name: str, state: Any) -> None:
  found = jax.tree.leaves(state)
  text = any(type(leaf) is str for leaf in found)
  if text and not any(leaves.is_array(leaf) for leaf in found):
    documents.encode(state, name)  # names the part that is not JSON


def _has(component: Any, *methods: str) -> bool:
  if isinstance(component, type):
    return False
  return all(callable(getattr(component, name, None)) for name in methods)
