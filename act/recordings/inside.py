"""Files of a directory that somebody else made: only what lies within it.

A link may lead to another place of the same directory, and from a snapshot in
a cache of huggingface_hub to the `blobs` of the same repository.
"""

import json
import os
import pathlib
from typing import Any

from carnet import errors

LARGEST_JSON = 1 << 26  # bytes; the info.json of a robot has 10 kB


def resolve(root: pathlib.Path, name: str) -> pathlib.Path:
  """Returns where the file `name` of the directory `root` really is.

  Raises:
    UserError: it is missing, no plain file, or outside of the directory.
  """
  path = root / name
  try:
    real, home = path.resolve(strict=True), root.resolve(strict=True)
  except (OSError, RuntimeError, ValueError) as error:
    if path.is_symlink():
      raise errors.UserError(f"{path}: a link that leads nowhere") from error
    raise errors.UserError(f"{path}: no such file") from error
  if not any(real.is_relative_to(place) for place in _homes(root, home)):
    raise errors.UserError(f"{path}: leads out of the directory: copy the file")
  if not real.is_file():
    raise errors.UserError(f"{path}: not a plain file")
  return real


def is_there(root: pathlib.Path, name: str) -> bool:
  """Tells whether `root` has an entry `name`, sound or not."""
  return os.path.lexists(root / name)


def names(root: pathlib.Path, folder: str) -> list[str]:
  """Returns the files below a folder, relative to `root`, sorted."""
  found = []
  for parent, _, files in os.walk(root / folder):
    found += [
      (pathlib.Path(parent) / file).relative_to(root).as_posix()
      for file in files
    ]
  return sorted(found)


def read(
  root: pathlib.Path, name: str, largest_bytes: int = LARGEST_JSON
) -> bytes:
  """Returns the content of a small file; UserError when it is not small."""
  path = resolve(root, name)
  try:
    size = path.stat().st_size
    if size > largest_bytes:
      raise errors.UserError(
        f"{root / name}: {size} bytes, at most {largest_bytes} are read"
      )
    return path.read_bytes()
  except OSError as error:
    raise errors.UserError(f"{root / name}: {error.strerror}") from error


def read_json(root: pathlib.Path, name: str) -> Any:
  """Returns the value of a JSON file; UserError when it is none."""
  return _parse(read(root, name), f"{root / name}")


def read_json_lines(root: pathlib.Path, name: str) -> list[dict[str, Any]]:
  """Returns the objects of a file with one a line."""
  lines = read(root, name, 4 * LARGEST_JSON).splitlines()
  out = []
  for number, line in enumerate(lines, 1):
    if line.strip():
      value = _parse(line, f"{root / name}: line {number}")
      if not isinstance(value, dict):
        raise errors.UserError(f"{root / name}: line {number} is no object")
      out.append(value)
  return out


def _homes(root: pathlib.Path, home: pathlib.Path) -> list[pathlib.Path]:
  """Returns the directories whose files count as those of `root`."""
  in_hub_cache = root.absolute().parent.name == "snapshots"
  return [home, home.parent.parent / "blobs"] if in_hub_cache else [home]


def _parse(content: bytes, where: str) -> Any:
  try:
    return json.loads(content)
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f"{where} is not JSON: {error}") from error
