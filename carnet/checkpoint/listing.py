"""The steps of a directory at a glance: read from manifests, without JAX."""

import collections
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Mapping

from carnet import errors
from carnet.checkpoint import chunks, directory, inspection, manifest


@dataclasses.dataclass(frozen=True)
class Step:
  """One line of a listing; `fault` says why the step is not sound.

  Chunks are shared when another step of the directory names them too.
  """

  path: str
  step: int
  size_bytes: int
  signed: bool
  fault: str
  created_utc: str = ""
  leaves: int = 0
  shared_chunk_bytes: int = 0
  own_chunk_bytes: int = 0
  metrics: Mapping[str, float | None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Listing:
  """All steps of a directory, and what else lies there: name and bytes."""

  directory: str
  steps: tuple[Step, ...]
  others: Mapping[str, int]


def make(path: pathlib.Path) -> Listing:
  """Returns the steps of a directory, oldest first.

  A step is called sound here when its manifest is, and every file is there in
  its full size; `verify` compares the contents too.
  """
  root = inspection.root_of(path)
  places = directory.numbered(root)
  found, reasons = {}, {}
  for place in places:
    try:
      found[place] = directory.read_manifest(place)
    except errors.UserError as error:
      reasons[place] = str(error)
  users = collections.Counter(
    sha256 for sound in found.values() for sha256 in _chunk_sizes(sound)
  )
  steps = [
    _sound_step(place, found[place], users)
    if place in found
    else _damaged_step(place, reasons[place])
    for place in places
    if os.path.lexists(place)  # a training run may just have deleted it
  ]
  own = {directory.CHUNKS, directory.LOCK, *(place.name for place in places)}
  others = sorted({*os.listdir(root)} - own)
  sizes = {name: _bytes_below(root / name) for name in others}
  return Listing(str(root), tuple(steps), sizes)


def _sound_step(
  place: pathlib.Path,
  found: manifest.Manifest,
  users: Mapping[str, int],
) -> Step:
  chunk_sizes = _chunk_sizes(found)
  shared = sum(size for name, size in chunk_sizes.items() if users[name] > 1)
  return Step(
    path=str(place),
    step=found.step,
    size_bytes=_bytes_below(place),
    signed=(place / directory.SIGNOFF).exists(),
    fault=_missing(place, found),
    created_utc=found.created_utc,
    leaves=len(found.leaves),
    shared_chunk_bytes=shared,
    own_chunk_bytes=sum(chunk_sizes.values()) - shared,
    metrics=found.metrics,
  )


def _damaged_step(place: pathlib.Path, fault: str) -> Step:
  signed = (place / directory.SIGNOFF).exists()
  return Step(str(place), int(place.name), _bytes_below(place), signed, fault)


def _missing(place: pathlib.Path, found: manifest.Manifest) -> str:
  """Returns which file is not there in full size, or nothing."""
  root = place.resolve().parent
  wanted = {place / file.path: file.size_bytes for file in found.files}
  for sha256, size_bytes in _chunk_sizes(found).items():
    wanted[chunks.place(root, sha256)] = size_bytes
  wrong = []
  for path, size_bytes in wanted.items():
    name = path.relative_to(place if path.is_relative_to(place) else root)
    try:
      size = os.lstat(path).st_size
    except OSError as error:
      wrong.append(f"{name} is unreadable: {error.strerror}")
    else:
      if size != size_bytes:
        wrong.append(f"{name} has {size} bytes of {size_bytes}")
  more = f" (and {len(wrong) - 1} more files)" if len(wrong) > 1 else ""
  return wrong[0] + more if wrong else ""


def _chunk_sizes(found: manifest.Manifest) -> dict[str, int]:
  return {row.sha256: row.size_bytes for row in found.chunks}


def _bytes_below(path: pathlib.Path) -> int:
  total = 0
  for name in directory.files(path) if path.is_dir() else [""]:
    with contextlib.suppress(OSError):  # deleted since
      total += os.lstat(path / name).st_size
  return total
