"""Which installed packages an environment is made of: they change it too."""

import importlib.metadata

import carnet

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
  found = {"carnet": carnet.__version__}
  for package in wanted:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found
