"""Reading a checkpoint without the objects that were saved in it."""

import pathlib
from collections.abc import Collection
from typing import Any

from carnet import errors, paths
from carnet.checkpoint import directory, leaves, manifest, plan, reader


def read(
  path: pathlib.Path | str,
  components: Collection[str] | None = None,
  regex: str | None = None,
) -> dict[str, Any]:
  """Returns what matches, as nested dictionaries of checked numpy arrays.

  Typed random keys come as JAX arrays, JSON components as their value. No
  object of the run that saved is needed, and only matching leaves are read.

  Args:
    path: a step directory, a directory of steps, or a workdir.
    components: names; the default is all.
    regex: must match a whole component path, such as "agent/params/.*".

  Raises:
    MismatchError: nothing matches.
    CorruptError: what was read is not what was written.
  """
  place = directory.resolve(pathlib.Path(path))
  found = directory.read_manifest(place)
  for name in components or ():
    if name not in found.components:
      raise errors.unknown("stored component", name, found.components)
  held = reader.specs(found)
  rows = plan.make(held, held, components, regex)
  wanted = [row.path for row in rows if row.status == plan.RESTORED]
  values = reader.contents(place, found, wanted)
  plain = {
    path: leaves.plain(value, held[path])
    if held[path] != leaves.JSON
    else value
    for path, value in values.items()
  }
  return paths.nest(plain)


def read_json(path: pathlib.Path | str, name: str) -> Any:
  """Returns the checked value of an attached JSON file.

  Raises:
    CorruptError: the file is not what was written.
    UserError: the checkpoint has no such file.
  """
  place = directory.resolve(pathlib.Path(path))
  return reader.json(place, directory.read_manifest(place), name)


def read_manifest(path: pathlib.Path | str) -> manifest.Manifest:
  """Returns what a step says of itself: step, metrics, leaves, lineage.

  Raises:
    CorruptError: the manifest is not what was written.
  """
  place = directory.resolve(pathlib.Path(path))
  return directory.read_manifest(place)
