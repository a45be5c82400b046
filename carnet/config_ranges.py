"""Checks of single values of a configuration; each error names the key."""

import math
from collections.abc import Collection
from typing import Any

from ml_collections import config_dict

from carnet import errors


class Ranges:
  """Looks at values by dotted key; all methods raise UserError."""

  def __init__(self, config: config_dict.ConfigDict) -> None:
    self._config = config

  def get(self, key: str) -> Any:
    """Returns the value of a dotted key."""
    node = self._config
    for part in key.split("."):
      node = node[part]
    return node

  def require(self, key: str, fine: bool, what: str) -> None:
    """Says that the value must be `what` unless it is fine."""
    if not fine:
      raise errors.UserError(f"config.{key}={self.get(key)}: must be {what}")

  def positive(self, *keys: str) -> None:
    """Requires values above 0."""
    for key in keys:
      self.require(key, self.get(key) > 0, "above 0")

  def not_negative(self, *keys: str) -> None:
    """Requires values of 0 or more."""
    for key in keys:
      self.require(key, self.get(key) >= 0, "0 or more")

  def one_of(self, key: str, choices: Collection[str]) -> None:
    """Requires one of some names."""
    if self.get(key) not in choices:
      raise errors.unknown(f"config.{key}", str(self.get(key)), choices)

  def finite(self) -> None:
    """Requires that no number anywhere is infinite or NaN."""
    _check_finite(self._config.to_dict(), "config")


def _check_finite(node: Any, path: str) -> None:
  if isinstance(node, dict):
    for key, value in node.items():
      _check_finite(value, f"{path}.{key}")
  elif isinstance(node, tuple):
    for value in node:
      _check_finite(value, path)
  elif isinstance(node, float) and not math.isfinite(node):
    raise errors.UserError(f"{path}={node}: must be finite")
