"""Components: anything with `state()` and `load_state(state)`.

`adapt` makes one of whatever is registered, so that a pytree, a Flax NNX
module, an optax state and a Grain iterator need no adapter by the user.
A state made of JSON's types is kept as readable JSON; any other state is a
pytree of arrays and numbers, kept as a flat dictionary `path -> array`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from flax import nnx

from carnet import errors, paths, trees
from carnet.checkpoint import documents, leaves

ARRAYS = "arrays"
JSON = "json"
ROOT_KEY = "value"  # of a component that is one array


@runtime_checkable
class Component(Protocol):
  """What a checkpoint can keep."""

  def state(self) -> Any:
    """Returns JSON types, or a pytree of arrays and numbers."""

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


def flatten(name: str, state: Any) -> dict[str, Any]:
  """Returns `component path -> leaf`; JSON is one leaf, named like `name`.

  Raises:
    UserError: two leaves share a path, or a name cannot be part of one.
  """
  if documents.holds(state):
    return {name: state}
  flat = trees.flatten(state)
  return {paths.join(name, path): leaf for path, leaf in flat.items()}


def specs(name: str, state: Any) -> dict[str, leaves.Spec]:
  """Returns `component path -> what it is`, the target of a restore.

  Raises:
    UserError: a leaf is of a kind that cannot be saved.
  """
  if documents.holds(state):
    return {name: leaves.JSON}
  flat = flatten(name, state)
  return {path: leaves.spec(leaf, path) for path, leaf in flat.items()}


def unflatten(name: str, flat: Mapping[str, Any], state: Any) -> Any:
  """Returns the leaves of `flatten` in the structure of `state`."""
  if documents.holds(state):
    return flat[name]
  relative = {path[len(name) + 1 :]: leaf for path, leaf in flat.items()}
  return trees.unflatten(relative, state)


def key(name: str, path: str) -> str:
  """Returns the name of a leaf within its component's directory."""
  return path.removeprefix(f"{name}/") if path != name else ROOT_KEY


def json_file(name: str) -> str:
  """Returns the path of a JSON component within a step directory."""
  return f"{name}/state.json"


@dataclasses.dataclass(frozen=True)
class Arrays:
  """An array component at the moment of a save."""

  kind = ARRAYS
  specs: Mapping[str, leaves.Spec]
  contents: Mapping[str, Callable[[], np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Json:
  """A JSON component at the moment of a save."""

  kind = JSON
  content: bytes


def capture(name: str, component: Component) -> Arrays | Json:
  """Returns the component's present state, independent of its future.

  Raises:
    UserError: a leaf cannot be saved; the message names it.
  """
  state = component.state()
  if documents.holds(state):
    return Json(documents.encode(state, name))
  _refuse_almost_json(name, state)
  flat = flatten(name, state)
  found = {path: leaves.spec(leaf, path) for path, leaf in flat.items()}
  for leaf in flat.values():
    leaves.prefetch(leaf)
  return Arrays(found, {p: leaves.snapshot(x, p) for p, x in flat.items()})


def _refuse_almost_json(name: str, state: Any) -> None:
  found = jax.tree.leaves(state)
  text = any(type(leaf) is str for leaf in found)
  if text and not any(leaves.is_array(leaf) for leaf in found):
    documents.encode(state, name)  # names the part that is not JSON


def _has(component: Any, *methods: str) -> bool:
  if isinstance(component, type):
    return False
  return all(callable(getattr(component, name, None)) for name in methods)
