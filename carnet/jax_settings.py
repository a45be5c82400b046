"""What JAX computes on, and the settings that change its numbers."""

import os
from typing import Any

import jax


def describe() -> dict[str, Any]:
  """Returns `device_kind`, `device_count` and `jax_config` of this process."""
  settings = jax.config.values
  precision = settings["jax_default_matmul_precision"]
  return {
    "device_kind": jax.devices()[0].device_kind,
    "device_count": jax.device_count(),
    "jax_config": {
      "prng_impl": str(settings["jax_default_prng_impl"]),
      "threefry_partitionable": bool(settings["jax_threefry_partitionable"]),
      "x64": bool(settings["jax_enable_x64"]),
      "matmul_precision": None if precision is None else str(precision),
      "xla_flags": os.environ.get("XLA_FLAGS", ""),
    },
  }
