"""The files of the original ACT, `episode_N.hdf5`, and their numbers."""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

from carnet import errors

_SUFFIXES = (".hdf5", ".h5")


@dataclasses.dataclass(frozen=True)
class File:
  """A file, and the number of the episode in it."""

  number: int
  path: pathlib.Path
  numbered: bool = True  # by its name

  def __str__(self) -> str:
    """Returns what names the file and the episode."""
    return self.label(str(self.path))

  def label(self, name: str) -> str:
    """Returns the same for a shorter name."""
    if self.numbered:
      return f"{name} (episode {self.number})"
    return (
      f"{name} (its name has no number of its own: it counts as episode "
      f"{self.number})"
    )


def find(path: pathlib.Path) -> Iterator[File]:
  """Yields a file, or those of a directory in the order of their numbers.

  Raises:
    UserError: there is none.
  """
  if path.is_file():
    paths = [path]
  elif path.is_dir():
    paths = [x for x in path.iterdir() if x.suffix in _SUFFIXES]
  else:
    raise errors.UserError(f"no demonstrations at '{path}': no such file")
  if not paths:
    raise errors.UserError(f"'{path}' holds no episode_N.hdf5")
  numbers = {x: re.findall(r"\d+", x.stem) for x in paths}
  paths.sort(key=lambda x: ([int(n) for n in numbers[x][-1:]], x.name))
  last = [int(numbers[x][-1]) for x in paths if numbers[x]]
  told = len(set(last)) == len(paths)
  for index, each in enumerate(paths):
    yield File(last[index] if told else index, each, told)
