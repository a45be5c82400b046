"""What a checkpoint is made of: named components, and attached files."""

import re
from collections.abc import Mapping
from typing import Any

from carnet import errors, paths
from carnet.checkpoint import components as components_lib
from carnet.checkpoint import directory, documents, manifest, processes

_COMPONENT_NAME = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED = (manifest.NAME, directory.SIGNOFF, directory.PASSPORT)


class Registry:
  """Components by name, with their present states by root path."""

  def __init__(self) -> None:
    self._components: dict[str, components_lib.Component] = {}
    self._per_process: dict[str, bool | None] = {}
    self.attachments: dict[str, bytes] = {}

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
    adapted = components_lib.adapt(component)
    self._components[name] = adapted
    self._per_process[name] = per_process
    return adapted if isinstance(adapted, components_lib.Value) else component

  def attach(self, name: str, content: Any) -> None:
    """Adds a file: bytes, or a JSON value.

    Raises:
      UserError: the name is taken or not relative, or JSON would change it.
    """
    paths.check(name)
    if name not in self.attachments:
      self._check_free(name)
    if not isinstance(content, bytes):
      content = documents.encode(content, name)
    self.attachments[name] = content

  def check_known(self, names: Any) -> None:
    """Raises UserError for a name that no component has."""
    for name in names:
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

  def load(self, states: Mapping[str, Any]) -> None:
    """Gives components a new state, by name."""
    for name, state in states.items():
      self._components[name].load_state(state)

  def _check_free(self, name: str) -> None:
    taken = name.split("/")[0] in {*_RESERVED, *self._components}
    for other in self.attachments:
      taken |= f"{name}/".startswith(f"{other}/")
      taken |= f"{other}/".startswith(f"{name}/")
    if taken:
      raise errors.UserError(f"the name '{name}' is taken in the checkpoint")
