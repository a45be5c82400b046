"""What a family of policies tells about its checkpoints, without JAX.

A family is a module that an installed distribution names as an entry point of
the group "carnet.families", under the name that its configurations have as
`agent`. No checkpoint can name a module. The module has

    describe(directory) -> Description     from small files alone
"""

import dataclasses
import functools
import importlib.metadata
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import pydantic

from carnet import errors
from carnet.passport import contract, fields, history, model, shown, steps

GROUP = "carnet.families"
EXAMINATIONS = "carnet.examinations"  # see carnet.passport.dynamic.subject


@dataclasses.dataclass(frozen=True)
class Description:
  """What files alone tell.

  Attributes:
    name: of the family, as the passport has it.
    input_contract: what goes in and comes out.
    transform_pipeline: from sensor to model, and from model to command.
    inference_parameters: how actions are chosen and executed.
    forward_graph: arrays of one query.
    class_name: of the model.
    class_module: where it is.
    pretrained: parts trained elsewhere.
    roles: of files by name, where it is not "metadata".
    needed: regular expression; leaves that acting needs, component included.
    trainable: regular expression; those of them that training updates.
  """

  name: str
  input_contract: contract.InputContract | None
  transform_pipeline: tuple[steps.TransformStep, ...]
  inference_parameters: dict[str, pydantic.JsonValue]
  forward_graph: model.ForwardGraph | None
  class_name: str | None
  class_module: str | None
  pretrained: tuple[model.Pretrained, ...]
  roles: Mapping[str, history.Role]
  needed: str
  trainable: str


@runtime_checkable
class Family(Protocol):
  """The module of a family."""

  def describe(self, directory: pathlib.Path) -> Description:
    """Returns what the files of a step directory tell; UserError if unsound."""


def names() -> tuple[str, ...]:
  """Returns the families that are installed."""
  return tuple(sorted({entry.name for entry in entries(GROUP)}))


@functools.cache  # looks at every installed distribution
def entries(group: str) -> tuple[importlib.metadata.EntryPoint, ...]:
  """Returns the entry points of a group."""
  return tuple(importlib.metadata.entry_points(group=group))


def find(config: Mapping[str, Any]) -> Family | None:
  """Returns the family of a configuration; None when it is nobody's.

  Raises:
    UserError: the family's module cannot be imported.
  """
  name = config.get("agent")
  for entry in entries(GROUP):
    if entry.name == name:
      try:
        return entry.load()
      except ImportError as error:
        raise errors.UserError(
          f"the family '{name}' cannot be imported: {error}"
        ) from error
  return None


_SECTION = "passport"  # of a foreign config.json
# what makes a search take for ever: repeated groups, references, many repeats
_INVOLVED = re.compile(r"\)\s*[*+{]|\(\?|\\\d|(?:[^*+{]*[*+{]){5}")


def foreign(config: Mapping[str, Any]) -> Description:
  """Returns what a configuration of another program tells of itself.

  Its entry "passport", if there is one, has `input_contract`,
  `transform_pipeline`, `inference_parameters`, `forward_graph`, `class_name`,
  `class_module`, `pretrained_provenance`, `roles`, `needed` and `trainable`,
  each as this schema has it and each optional.

  Raises:
    UserError: an entry is unknown, or not as the schema has it.
  """
  told = config.get(_SECTION, {})
  try:
    found = _Foreign.model_validate_json(json.dumps(told))
  except pydantic.ValidationError as error:
    rows = error.errors(include_url=False, include_input=False)
    faults = "; ".join(
      f"{'/'.join(map(str, row['loc']))}: {row['msg']}" for row in rows
    )
    raise errors.UserError(f"config.json/{_SECTION}: {faults}") from error
  for name in ("needed", "trainable"):
    _check_expression(name, getattr(found, name))
  return Description(
    "other",
    found.input_contract,
    found.transform_pipeline,
    found.inference_parameters,
    found.forward_graph,
    found.class_name,
    found.class_module,
    found.pretrained_provenance,
    found.roles,
    found.needed,
    found.trainable,
  )


def _check_expression(name: str, text: str) -> None:
  """Refuses a stranger's expression that could search for ever."""
  try:
    re.compile(text)
    sound = not _INVOLVED.search(text)
  except (re.error, RecursionError, OverflowError):
    sound = False
  if not sound:
    raise errors.UserError(
      f"config.json/{_SECTION}/{name}: the expression {shown.cut(text)!r} is "
      "too involved: use names, '.*' and '|'"
    )


class _Foreign(fields.Model):
  input_contract: contract.InputContract | None = None
  transform_pipeline: tuple[steps.TransformStep, ...] = ()
  inference_parameters: dict[str, pydantic.JsonValue] = pydantic.Field(
    default_factory=dict
  )
  forward_graph: model.ForwardGraph | None = None
  class_name: str | None = None
  class_module: str | None = None
  pretrained_provenance: tuple[model.Pretrained, ...] = ()
  roles: dict[str, history.Role] = pydantic.Field(default_factory=dict)
  needed: str = ".*"
  trainable: str = ".*"
