"""The versions and settings under which a policy was measured."""

import pathlib
import platform

import jax

from carnet import jax_settings, run_context, versions
from carnet.passport import model

_WANTED = (
  *("carnet", "jax", "jaxlib", "flax", "numpy", "optax", "orbax-checkpoint"),
  *("tensorstore", "ml_collections", "pydantic", "pillow"),
  *("jax-cuda12-plugin", "jax-cuda13-plugin", "nvidia-cudnn-cu12"),
)


def library_versions() -> dict[str, str]:
  """Returns the versions of what computes actions, as installed here."""
  found = versions.installed(_WANTED)
  return {"python": platform.python_version()} | found


def describe(directory: pathlib.Path) -> model.Environment:
  """Returns the machine; the lock file's digest as the launch recorded it."""
  launch = run_context.read(directory)
  return model.Environment(
    python=platform.python_version(),
    platform=f"{platform.system()} {platform.machine()}",
    device_kind=jax.devices()[0].device_kind,
    lock_file_sha256=launch.environment.lock_file_sha256 if launch else None,
  )


def jax_config() -> model.JaxConfig:
  """Returns the settings that change numbers."""
  return model.JaxConfig.model_validate(jax_settings.describe()["jax_config"])
