r"""Checkpoints that other programs wrote, as sources to restore from.

Plain Orbax (a pytree, a step with several items, a `CheckpointManager`, v1)
and `.safetensors`. Leaf paths are the stored keys joined with "/":

* lists and tuples by number, namedtuples by field; what Flax NNX's state adds
  to each path, a last part `value`, stays (rename `(.*)/value` to `\1`);
* the name of an Orbax item comes first, except for a single one that Orbax
  itself named: `default`, `pytree` or `state`;
* dots in the names of `.safetensors` are part of the name.

Shapes and dtypes are known before an array is read, and are what is read. No
digests are: a flipped bit in such a file is found by nobody.
"""

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from carnet import errors, paths
from carnet.checkpoint import (
  faults,
  foreign_orbax,
  foreign_safetensors,
  foreign_source,
  leaves,
)

ORBAX = "orbax"
SAFETENSORS = "safetensors"
LARGEST_READ_BYTES = 64 << 30

_Held = tuple[foreign_source.Part, foreign_source.Leaf]


@dataclasses.dataclass(frozen=True)
class Foreign:
  """A foreign checkpoint whose metadata has been read, and no array.

  `step` is the number of the step that was chosen from a `CheckpointManager`
  directory, else None. `skipped` lists what is there and cannot be restored:
  items and leaves that are no arrays, or are of a dtype unknown here.
  """

  path: pathlib.Path
  step: int | None
  kind: str
  skipped: tuple[str, ...]
  held: Mapping[str, _Held]

  def specs(self) -> dict[str, leaves.Spec]:
    """Returns what the checkpoint holds, by leaf path."""
    return {path: leaf.spec for path, (_, leaf) in self.held.items()}

  def sizes(self) -> dict[str, int]:
    """Returns the bytes of each leaf, uncompressed, by leaf path."""
    return {path: leaf.size_bytes for path, (_, leaf) in self.held.items()}

  def contents(self, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """Reads the wanted leaves and no others.

    Typed random keys come as the integers behind them.

    Raises:
      UserError: there is no such leaf, or they are too large together.
      CorruptError: what was read is not what the metadata declares.
    """
    for path in wanted:
      if path not in self.held:
        raise errors.unknown(f"leaf in {self.path}", path, self.held)
    self._check_size(wanted)
    values: dict[str, np.ndarray] = {}
    for part in {id(self.held[p][0]): self.held[p][0] for p in wanted}.values():
      mine = {p: self.held[p][1] for p in wanted if self.held[p][0] is part}
      values |= _read(part, mine)
    return values

  def _check_size(self, wanted: Collection[str]) -> None:
    total = sum(self.held[path][1].read_bytes for path in set(wanted))
    if total > LARGEST_READ_BYTES:
      raise errors.UserError(
        f"{self.path} declares {total / 2**30:.1f} GiB in {len(wanted)} "
        f"leaves; at most {LARGEST_READ_BYTES >> 30} GiB are read at once: "
        "name fewer leaves"
      )


def find(path: pathlib.Path) -> Foreign | None:
  """Returns the foreign checkpoint at `path`, None if there is none.

  Args:
    path: a `.safetensors` file, an index of several or the directory of
      `model.safetensors.index.json`; an Orbax checkpoint of any kind; or a
      directory of steps, of which the newest finished one counts.

  Raises:
    CorruptError: it is damaged, or leads out of its directory.
    UserError: two leaves share a path, or it is unclear which step is meant.
  """
  try:
    return _find(path, path.resolve())
  except (OSError, RuntimeError) as error:  # a loop of links is the second
    raise foreign_source.unreadable(path, error) from error


def _find(path: pathlib.Path, place: pathlib.Path) -> Foreign | None:
  if place.is_file():  # maybe through a link, as in Hugging Face's cache
    return _find_file(path, place)
  index = place / foreign_safetensors.INDEX
  if index.is_file():
    foreign_source.check_one(index)
    return _of_shards(path, foreign_safetensors.open_shards(index))
  if not place.is_dir() or foreign_orbax.is_ours(place):
    return None
  if foreign_orbax.items(place):
    return _of_step(path, None, place)
  chosen = foreign_orbax.newest(place)
  return _of_step(path / chosen[1].name, *chosen) if chosen else None


def _find_file(path: pathlib.Path, place: pathlib.Path) -> Foreign | None:
  if path.name.endswith(foreign_safetensors.INDEX_SUFFIX):
    return _of_shards(path, foreign_safetensors.open_shards(path))
  if path.name.endswith(foreign_safetensors.SUFFIX):
    return _of_shards(path, [foreign_safetensors.open_file(place)])
  return None


def _of_shards(
  path: pathlib.Path, files: Sequence[foreign_source.Part]
) -> Foreign:
  return _gather(path, None, SAFETENSORS, [("", part) for part in files])


def _of_step(
  path: pathlib.Path, step: int | None, place: pathlib.Path
) -> Foreign:
  parts = [
    (name, foreign_orbax.open_item(item))
    for name, item in foreign_orbax.items(place).items()
  ]
  others = foreign_orbax.skipped(place)
  return _gather(path, step, ORBAX, parts, others)


def _gather(
  path: pathlib.Path,
  step: int | None,
  kind: str,
  parts: Sequence[tuple[str, foreign_source.Part]],
  others: Sequence[str] = (),
) -> Foreign:
  found = [
    (paths.join(name, leaf.path), part, leaf)
    for name, part in parts
    for leaf in part.leaves
  ]
  shown = [(p, f"'{leaf.key}' in {part.place.name}") for p, part, leaf in found]
  foreign_source.check_distinct(shown, path)
  left_out = [
    paths.join(name, leaf) for name, part in parts for leaf in part.skipped
  ]
  held = {p: (part, leaf) for p, part, leaf in found}
  return Foreign(path, step, kind, (*others, *left_out), held)


def _read(
  part: foreign_source.Part, wanted: Mapping[str, foreign_source.Leaf]
) -> dict[str, np.ndarray]:
  try:
    read = part.read(list(wanted.values()))
  except Exception as error:
    raise foreign_source.unreadable(part.place, error) from error
  values = {}
  for path, leaf in wanted.items():
    array = read[leaf.key]
    if array.shape != leaf.shape or array.dtype != leaf.dtype:
      raise faults.CorruptError(
        f"{part.place}: leaf {path} is {array.dtype.name}{list(array.shape)}, "
        f"not {leaf.spec}"
      )
    values[path] = array
  return values
