"""Versions of what is installed."""

import contextlib
import importlib.metadata
from collections.abc import Iterable


def installed(distributions: Iterable[str]) -> dict[str, str]:
  """Returns the versions of those that are installed."""
  found = {}
  for name in distributions:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found
