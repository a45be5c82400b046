"""What only a person knows of a robot: cameras, units, rate, bad versions.

It fills what no file of a checkpoint tells, and never replaces what one does.
"""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

import pydantic

from carnet import errors
from carnet.passport import contract, fields, model, schema, strict_json

_LARGEST_BYTES = 1 << 20
_Part = TypeVar("_Part", bound=fields.Model)


class Camera(fields.Model):
  """Where a camera sits, and which one it is."""

  mounting: fields.Name | None = None
  serial: fields.Name | None = None
  usb_path: fields.Name | None = None


class Setup(fields.Model):
  """The robot whose data trained the policy, by the names of the contract.

  `units` of the slices of state and actions, `source_revisions` of parts that
  were trained elsewhere.
  """

  cameras: dict[fields.Name, Camera] = pydantic.Field(default_factory=dict)
  units: dict[fields.Name, fields.Name] = pydantic.Field(default_factory=dict)
  control_hz: Annotated[float, pydantic.Field(gt=0)] | None = None
  source_revisions: dict[fields.Name, fields.Name] = pydantic.Field(
    default_factory=dict
  )
  known_incompatible: tuple[model.KnownIncompatible, ...] = ()


def read(path: pathlib.Path) -> Setup:
  """Returns the set-up in a JSON file; UserError when it is none."""
  from carnet.passport.checks import pep440  # whoever starts needs none of it

  content = strict_json.read(path, _LARGEST_BYTES)
  found = schema.decode_part(Setup, content, str(path))
  for row in found.known_incompatible:
    if not pep440.is_specifier(row.specifier):
      raise errors.UserError(
        f"{path}: known_incompatible of {row.package}: '{row.specifier}' is no "
        "specifier such as '>=3.9'"
      )
  return found


def apply(found: schema.Passport, told: Setup) -> schema.Passport:
  """Returns a draft with what a person knows in the place of None.

  Raises:
    UserError: a name that the draft has not, or a value that it contradicts.
  """
  needed = found.input_contract
  if needed is not None:
    needed = _contract(needed, told)
  elif told.cameras or told.units or told.control_hz:
    raise errors.UserError(
      "there is no input contract that a set-up could fill"
    )
  identity = found.model_identity
  if told.known_incompatible:
    constraints = model.RuntimeConstraints(
      required_versions={},
      known_incompatible=told.known_incompatible,
      jax_config=None,
    )
    identity = _filled(identity, "", runtime_constraints=constraints)
  pretrained = found.model_internals.pretrained_provenance
  _check_names(
    "pretrained part", told.source_revisions, _submodules(pretrained)
  )
  parts = tuple(
    _filled(
      row,
      row.submodule,
      source_revision=told.source_revisions.get(row.submodule),
    )
    for row in pretrained
  )
  internals = found.model_internals.model_copy(
    update={"pretrained_provenance": parts}
  )
  return found.model_copy(
    update={
      "input_contract": needed,
      "model_identity": identity,
      "model_internals": internals,
    }
  )


def _submodules(rows: Iterable[model.Pretrained]) -> list[str]:
  return [row.submodule for row in rows]


def _contract(
  needed: contract.InputContract, told: Setup
) -> contract.InputContract:
  names = [name for x in needed.images for name in (x.key, x.short_key)]
  _check_names("camera", told.cameras, names)
  slices = (
    *needed.state.sub_keys,
    *(needed.state.dataset_sub_keys or ()),
    *needed.actions.sub_keys,
  )
  _check_names(
    "slice of state or actions", told.units, {x.name for x in slices}
  )
  layouts = ("sub_keys", "dataset_sub_keys")
  state = {name: _rows(getattr(needed.state, name), told) for name in layouts}
  actions = {"sub_keys": _rows(needed.actions.sub_keys, told)}
  return needed.model_copy(
    update={
      "images": tuple(_image(row, told.cameras) for row in needed.images),
      "state": needed.state.model_copy(update=state),
      "actions": needed.actions.model_copy(update=actions),
      "temporal": _filled(
        needed.temporal, "temporal", control_hz=told.control_hz
      ),
    }
  )


def _image(
  row: contract.Image, cameras: Mapping[str, Camera]
) -> contract.Image:
  names = {row.key, row.short_key} & set(cameras)
  if len(names) > 1:
    raise errors.UserError(
      f"the set-up has one camera twice, as {' and '.join(sorted(names))}"
    )
  camera = cameras[names.pop()] if names else Camera()
  return _filled(
    row,
    row.key,
    physical_mounting=camera.mounting,
    camera_serial=camera.serial,
    camera_usb_path=camera.usb_path,
  )


def _rows(
  rows: tuple[contract.SubKey, ...] | None, told: Setup
) -> tuple[contract.SubKey, ...] | None:
  if rows is None:
    return None
  return tuple(_filled(x, x.name, unit=told.units.get(x.name)) for x in rows)


def _filled(part: _Part, name: str, **values: Any) -> _Part:
  """Returns a part with values where it has None."""
  given = {key: value for key, value in values.items() if value is not None}
  for key, value in given.items():
    present = getattr(part, key)
    if present not in (None, value):
      raise errors.UserError(
        f"the set-up says {key} {value} of {name}, the checkpoint says "
        f"{present}: one of them is wrong"
      )
  return part.model_copy(update=given)


def _check_names(kind: str, told: Iterable[str], known: Iterable[str]) -> None:
  options = sorted(set(known))
  for name in told:
    if name not in options:
      raise errors.unknown(kind, name, options)
