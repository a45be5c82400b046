"""Which installed packages an environment is made of: they change it too."""

import importlib.metadata

import carnet
from carnet import versions as versions_lib

# by suite; what else a Gymnasium id runs on is seen from its module
_OF_SUITE = {
  "aloha": ("mujoco", "gym-aloha", "numpy"),
  "atari": ("ale-py", "numpy", "pillow"),
  "catch": ("jax", "jaxlib"),
  "crafter": ("crafter", "numpy"),
  "dmc": ("dm_control", "mujoco", "numpy"),
  "gym": ("gymnasium", "mujoco", "numpy"),
  "gymnax": ("gymnax", "jax", "jaxlib"),
}


def versions(name: str) -> dict[str, str]:
  """Returns the versions of what is installed of the environment `name`."""
  suite, _, rest = name.replace("/", ":", 1).partition(":")
  wanted = [*_OF_SUITE.get(suite, ())]
  module = rest.rpartition(":")[0].split(".")[0] if suite == "gym" else ""
  if module:  # of "gym:module:Env-v0"
    owners = importlib.metadata.packages_distributions()
    wanted.extend(owners.get(module, ()))
  return {"carnet": carnet.__version__} | versions_lib.installed(wanted)
