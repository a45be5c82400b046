"""Configurations to JSON and back, so that a checkpoint explains itself."""

import json
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from carnet import errors

Json = dict[str, Any]


def to_json(config: config_dict.ConfigDict) -> Json:
  """Returns plain JSON values: references resolved, tuples as lists."""
  return json.loads(json.dumps(config.copy_and_resolve_references().to_dict()))


def from_json(
  data: Json, default: config_dict.ConfigDict
) -> config_dict.ConfigDict:
  """Returns `default` overridden by `data`, locked; lists become tuples again.

  Raises:
    UserError: a key that `default` lacks, or a value of another type.
  """
  config = default.copy_and_resolve_references()
  _override(config, data, "config")
  return config.lock()


def _override(
  config: config_dict.ConfigDict, data: Mapping[str, Any], path: str
) -> None:
  for key, value in data.items():
    if key not in config:
      raise errors.unknown(f"key in '{path}':", key, config.keys())
    if isinstance(config[key], config_dict.ConfigDict):
      if not isinstance(value, Mapping):
        raise errors.UserError(f"{path}.{key} must be a table, not {value!r}")
      _override(config[key], value, f"{path}.{key}")
      continue
    if value is None:
      raise errors.UserError(f"{path}.{key} must not be null")
    try:
      config[key] = tuple(value) if isinstance(value, list) else value
    except TypeError as error:
      raise errors.UserError(f"{path}.{key}: {error}") from error


def get(data: Mapping[str, Any], key: str) -> Any:
  """Returns the value of a dotted key, None where there is none."""
  node: Any = data
  for part in key.split("."):
    node = node.get(part) if isinstance(node, Mapping) else None
  return node


def changed(before: Json, after: Json) -> list[str]:
  """Returns the dotted keys whose values differ, sorted."""
  flat_before, flat_after = _flat(before), _flat(after)
  keys = flat_before.keys() | flat_after.keys()
  return sorted(k for k in keys if flat_before.get(k) != flat_after.get(k))


def _flat(data: Mapping[str, Any], prefix: str = "") -> Json:
  flat: Json = {}
  for key, value in data.items():
    if isinstance(value, Mapping):
      flat |= _flat(value, f"{prefix}{key}.")
    else:
      flat[prefix + key] = value
  return flat
