"""What a checkpoint stores, by leaf path, told without reading an array."""

import functools
import re

from carnet.checkpoint import manifest
from carnet.passport import context, family, orbax_metadata
from carnet.passport.static import draft

_ROOT = "value"  # the key of a component that is one array


@functools.lru_cache(maxsize=1)  # several checks of one run ask
def described(found: context.Context) -> family.Description:
  """Returns what the family tells, its expressions safe to be searched with.

  Raises:
    UserError: the configuration does not tell, or its expression is no sound
      one: of a checkpoint of another program it is a stranger's text.
  """
  return draft.describe(found.path)


def held(found: context.Context) -> tuple[manifest.Leaf, ...]:
  """Returns the leaves of the manifest; none for other programs."""
  return found.manifest.leaves if found.manifest else ()


def acting(found: context.Context) -> tuple[manifest.Leaf, ...]:
  """Returns the leaves of the manifest that acting needs.

  Raises:
    UserError: the configuration does not tell.
  """
  needed = re.compile(described(found).needed)
  return tuple(leaf for leaf in held(found) if needed.fullmatch(leaf.path))


def of_item(
  found: context.Context, item: orbax_metadata.Item
) -> dict[str, manifest.Leaf]:
  """Returns the manifest's leaves of an item that is not empty, by key."""
  component = item.place.rstrip("/")
  return {
    leaf.path.removeprefix(item.place)
    if leaf.path != component
    else _ROOT: leaf
    for leaf in held(found)
    if leaf.size_bytes and leaf.path.split("/")[0] == component
  }


def names(found: context.Context) -> set[str]:
  """Returns all leaf paths; of other programs' with and without the item."""
  if found.manifest:
    return {leaf.path for leaf in held(found)}
  paths = set()
  for item in orbax_metadata.read(found):
    for leaf in item.leaves:
      paths |= {leaf.name, f"{item.place}{leaf.name}"}
  return paths
