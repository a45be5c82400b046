"""What a checkpoint is made of: named components, and attached files."""

import contextlib
import logging
import re
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax

from carnet import errors, paths
from carnet.checkpoint import components as components_lib
from carnet.checkpoint import directory, documents, manifest, processes

_log = logging.getLogger(__name__)
_COMPONENT_NAME = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED = (
  manifest.NAME,
  directory.SIGNOFF,
  directory.PASSPORT,
  directory.SIGNATURE,
)


class Registry:
  """Components by name, with their present states by root path."""

  def __init__(self) -> None:
    self._components: dict[str, components_lib.Component] = {}
    self._per_process: dict[str, bool | None] = {}
    self._saved: dict[str, list[weakref.ref]] = {}  # leaves at the last save
    self.attachments: dict[str, bytes] = {}
    self._computed: dict[str, Callable[[], Any]] = {}

  def __len__(self) -> int:
    return len(self._components)

  def register(
    self, name: str, component: Any, per_process: bool | None
  ) -> Any:
    """Adds a component; returns what training updates.

    Raises:
      UserError: the name is taken or is not made of letters, digits, _ and -.
    """
    if not _COMPONENT_NAME.fullmatch(name):
      raise errors.UserError(
        f"component name {name!r}: use letters, digits, '_' and '-'"
      )
    self._check_free(name)
    adapted = components_lib.adapt(component, name)
    self._components[name] = adapted
    self._per_process[name] = per_process
    return adapted if isinstance(adapted, components_lib.Value) else component

  def attach(self, name: str, content: Any) -> None:
    """Adds a file: bytes, a JSON value, or a function that returns either.

    Raises:
      UserError: the name is taken or not relative, or JSON would change it.
    """
    paths.check(name)
    if name not in {*self.attachments, *self._computed}:
      self._check_free(name)
    if callable(content):
      self.attachments.pop(name, None)
      self._computed[name] = content
    else:
      self.attachments[name] = _encode(content, name)
      self._computed.pop(name, None)

  def compute(self) -> dict[str, bytes]:
    """Returns the files that are functions, as they are now.

    Raises:
      UserError: JSON would change what one of them returns.
    """
    return {
      name: _encode(make(), name) for name, make in self._computed.items()
    }

  def check_known(self, names: Collection[str] | None) -> None:
    """Raises UserError unless these are names of components, or None."""
    if isinstance(names, str) or (names is not None and not names):
      raise errors.UserError(
        f"components={names!r}: give a list of names, or None for all"
      )
    for name in names or ():
      if name not in self._components:
        raise errors.unknown("component", name, self._components)

  def states(self) -> dict[str, Any]:
    """Returns the present state of each component, by its root path."""
    process, states = processes.this(), {}
    for name, component in self._components.items():
      state, own = component.state(), self._per_process[name]
      if own is None:
        own = components_lib.differs_by_process(component, state)
      states[process.within(name) if own else name] = state
    return states

  def warn_of_stale(self) -> None:
    """Warns once of a handle that nobody gave the new state to.

    JAX arrays never change: the very same ones again are the old state.
    """
    for name, component in self._components.items():
      if not isinstance(component, components_lib.Value):
        continue
      found = jax.tree.leaves(component.value)
      before = self._saved.get(name, [])
      same = len(before) == len(found) > 0
      if same and all(r() is x for r, x in zip(before, found, strict=True)):
        self._saved[name] = []
        _log.warning(
          "component '%s' has the very arrays of the save before: give what a "
          "training step returns to its handle's .value",
          name,
        )
      elif name not in self._saved or before:
        arrays = all(isinstance(leaf, jax.Array) for leaf in found)
        self._saved[name] = [weakref.ref(x) for x in found] if arrays else []

  def load(self, states: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Gives components a new state, by name: all of them, or none.

    When one does not take its state, the others get theirs from `before`, by
    root path, back.
    """
    old = {
      components_lib.name_of(root): state for root, state in before.items()
    }
    taken: list[str] = []
    try:
      for name, state in states.items():
        taken.append(name)
        self._components[name].load_state(state)
    except BaseException:
      for name in taken:
        with contextlib.suppress(
          Exception
        ):  # the first error is the one to see
          self._components[name].load_state(old[name])
      raise

  def _check_free(self, name: str) -> None:
    taken = name.split("/")[0] in {*_RESERVED, *self._components}
    for other in (*self.attachments, *self._computed):
      taken |= f"{name}/".startswith(f"{other}/")
      taken |= f"{other}/".startswith(f"{name}/")
    if taken:
      raise errors.UserError(f"the name '{name}' is taken in the checkpoint")


def _encode(content: Any, name: str) -> bytes:
  if isinstance(content, bytes):
    return content
  return documents.encode(content, name)
