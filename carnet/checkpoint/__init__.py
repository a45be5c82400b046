"""Checkpoints made of components, complete or not there at all.

`checkpoint.py` shows how to use one. Names are imported when first used, so
that tools can read manifests without waiting for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from carnet.checkpoint.access import read, read_json, read_manifest
  from carnet.checkpoint.checkpoint import Checkpoint
  from carnet.checkpoint.chunks import Chunk, Chunked
  from carnet.checkpoint.faults import CorruptError, MismatchError, SaveError
  from carnet.checkpoint.report import Report
  from carnet.checkpoint.retention import Retention

_HOMES = {
  "Checkpoint": "checkpoint",
  "Chunk": "chunks",
  "Chunked": "chunks",
  "read": "access",
  "read_json": "access",
  "read_manifest": "access",
  "CorruptError": "faults",
  "MismatchError": "faults",
  "SaveError": "faults",
  "Report": "report",
  "Retention": "retention",
}

__all__ = [
  "Checkpoint",
  "Chunk",
  "Chunked",
  "CorruptError",
  "MismatchError",
  "Report",
  "Retention",
  "SaveError",
  "read",
  "read_json",
  "read_manifest",
]


def __getattr__(name: str) -> Any:
  if name not in _HOMES:
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
  home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
  return getattr(home, name)
