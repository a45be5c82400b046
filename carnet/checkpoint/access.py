"""Reading a checkpoint without the objects that were saved in it."""

import pathlib
from collections.abc import Collection
from typing import Any

from carnet import paths
from carnet.checkpoint import directory, leaves, manifest, plan, reader, source


def read(
  path: pathlib.Path | str,
  components: Collection[str] | None = None,
  regex: str | None = None,
  exclude: str | None = None,
) -> dict[str, Any]:
  """Returns what matches, as nested dictionaries of checked numpy arrays.

  Typed random keys come as JAX arrays, JSON components as their value, others
  as `Chunked`. No object of the run that saved is needed, nor as many devices,
  and only matching leaves are read.

  Args:
    path: a step directory, a directory of steps, or a workdir; also a
      checkpoint of Orbax or a .safetensors file.
    components: names; the default is all.
    regex: must match a whole component path, such as "agent/params/.*".
    exclude: leave out what it matches in full.

  Raises:
    MismatchError: nothing matches.
    CorruptError: what was read is not what was written.
  """
  part = (components, regex, exclude)
  return source.use(pathlib.Path(path), lambda found: _read(found, *part))


def _read(
  origin: source.Source,
  components: Collection[str] | None,
  regex: str | None,
  exclude: str | None,
) -> dict[str, Any]:
  held = origin.specs()
  rows = plan.make(held, held, components, regex, exclude=exclude)
  wanted = [row.path for row in rows if row.status == plan.RESTORED]
  plain = {
    path: value
    if held[path] in leaves.WHOLE
    else leaves.plain(value, held[path])
    for path, value in origin.contents(wanted).items()
  }
  return paths.nest(plain)


def read_json(path: pathlib.Path | str, name: str) -> Any:
  """Returns the checked value of an attached JSON file.

  Raises:
    CorruptError: the file is not what was written.
    UserError: the checkpoint has no such file.
  """

  def value(place: pathlib.Path) -> Any:
    return reader.json(place, directory.read_manifest(place), name)

  return source.use_step(pathlib.Path(path), value)


def read_manifest(path: pathlib.Path | str) -> manifest.Manifest:
  """Returns what a step says of itself: step, metrics, leaves, lineage.

  Raises:
    CorruptError: the manifest is not what was written.
  """
  return source.use_step(pathlib.Path(path), directory.read_manifest)
