"""JAX's settings in this process, told without importing it."""

import dataclasses
import os
import sys
from collections.abc import Iterator
from typing import Any, Literal

from carnet.passport import model

# setting: environment variable, attribute of jax.config, default of JAX 0.5
# and later
_SETTINGS: dict[str, tuple[str, str, Any]] = {
  "prng_impl": (
    "JAX_DEFAULT_PRNG_IMPL",
    "jax_default_prng_impl",
    "threefry2x32",
  ),
  "threefry_partitionable": (
    "JAX_THREEFRY_PARTITIONABLE",
    "jax_threefry_partitionable",
    True,
  ),
  "x64": ("JAX_ENABLE_X64", "jax_enable_x64", False),
  "matmul_precision": (
    "JAX_DEFAULT_MATMUL_PRECISION",
    "jax_default_matmul_precision",
    None,
  ),
}
# flags of XLA that change no number
_HARMLESS = ("--xla_force_host_platform_device_count", "--xla_dump_")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclasses.dataclass(frozen=True)
class Setting:
  """One setting: as recorded, as it is here, and what to do."""

  name: str
  recorded: Any
  present: Any
  state: Literal["agrees", "differs", "unknown"]
  remedy: str


def source() -> str:
  """Returns where the settings were read."""
  return "the running JAX" if "jax" in sys.modules else "the environment"


def settings(recorded: model.JaxConfig) -> Iterator[Setting]:
  """Yields every setting that changes numbers."""
  for name, (variable, attribute, default) in _SETTINGS.items():
    wanted = getattr(recorded, name)
    told, present = _present(variable, attribute, default)
    state: Literal["agrees", "differs", "unknown"] = "agrees"
    if present != wanted:
      state = "differs" if told else "unknown"
    remedy = f"{variable}={'' if wanted is None else wanted}"
    yield Setting(name, wanted, present, state, remedy)
  flags = os.environ.get("XLA_FLAGS", "")
  same = _flags(flags) == _flags(recorded.xla_flags)
  yield Setting(
    "xla_flags",
    recorded.xla_flags,
    flags,
    "agrees" if same else "differs",
    f"XLA_FLAGS='{recorded.xla_flags}'",
  )


def _present(variable: str, attribute: str, default: Any) -> tuple[bool, Any]:
  """Returns whether something here tells, and the value or JAX's default."""
  jax = sys.modules.get("jax")
  if jax is not None and hasattr(jax, "config"):
    value = getattr(jax.config, attribute, default)
    return True, value if value is None or isinstance(value, bool) else str(
      value
    )
  text = os.environ.get(variable)
  if text is None:
    return False, default
  if isinstance(default, bool):
    word = text.lower()
    return True, word in _TRUE if word in (*_TRUE, *_FALSE) else text
  return True, text or None


def _flags(text: str) -> set[str]:
  return {flag for flag in text.split() if not flag.startswith(_HARMLESS)}
