"""What checks look at: a directory, its papers, and what the caller offers.

Everything is read at most once, when first asked for.
"""

import contextlib
import dataclasses
import datetime
import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from carnet import errors
from carnet.checkpoint import (
  digest,
  directory,
  documents,
  faults,
  integrity,
  manifest,
)
from carnet.passport import meter, plain_tree, schema, strict_json

# what cannot be listed in the passport, because it speaks of it
PAPERS = (directory.PASSPORT, directory.SIGNOFF, directory.SIGNATURE)


@dataclasses.dataclass(frozen=True)
class Options:
  """What the caller offers and asks for; see `validate-checkpoint --help`."""

  require_signoff: bool = False
  public_key: pathlib.Path | None = None
  target_repo: pathlib.Path | None = None
  dataset_path: pathlib.Path | None = None
  device_map: pathlib.Path | None = None
  skip_sections: tuple[str, ...] = ()
  trust_packages: tuple[str, ...] = ()
  min_signed_utc: str | None = None
  live_frames: pathlib.Path | None = None
  compare_code: bool = False
  rerun: bool = False
  entry: str | None = None
  modules: tuple[str, ...] = ()
  show_progress: bool = False


@dataclasses.dataclass(frozen=True)
class Entry:
  """Something in the directory: its type, and its size if it is a file."""

  path: str
  kind: str  # "file", "link", "other"
  size_bytes: int


def resolve(path: pathlib.Path) -> pathlib.Path:
  """Returns the directory of the passport; else the newest complete step.

  A passport that a killed process left there counts: who reads it is told.

  Raises:
    UserError: neither is there, or another program's without a passport.
  """
  if os.path.lexists(path / directory.PASSPORT) or _kept(path):
    return path
  try:
    return directory.resolve(path)
  except faults.CorruptError:
    raise
  except errors.UserError:
    if not foreign(path):
      raise
    raise errors.UserError(
      f"{path} has no {directory.PASSPORT}: generate-passport {path} issues one"
    ) from None


def _kept(path: pathlib.Path) -> pathlib.Path | None:
  from carnet.passport import issuing  # it names the papers of this module

  return issuing.kept(path)


def foreign(path: pathlib.Path) -> bool:
  """Tells whether another program's checkpoint lies there, papers or not."""
  ours = (path / manifest.NAME, path / directory.STEPS)
  if any(map(os.path.lexists, ours)) or directory.numbered(path):
    return False
  items = [f"{'*/' * depth}_METADATA" for depth in range(3)]
  found = (path.glob(pattern) for pattern in (*items, "*.safetensors"))
  return any(next(each, None) is not None for each in found)


def utc(text: str, before: str = "") -> str:
  """Returns a time as it was given.

  Raises:
    UserError: it is none in UTC; `before` is what the message begins with.
  """
  try:
    moment = datetime.datetime.fromisoformat(text)
  except ValueError:
    moment = None
  if moment is None or moment.utcoffset() != datetime.timedelta(0):
    raise errors.UserError(
      f"{before}'{text}' is no time in UTC such as 2026-01-31T00:00:00Z"
    )
  return text


class Context:
  """A checkpoint under examination."""

  def __init__(
    self, path: pathlib.Path, options: Options | None = None
  ) -> None:
    self.path = path
    self.options = options or Options()

  @functools.cached_property
  def passport_bytes(self) -> bytes:
    """The passport as it lies there; CorruptError when it cannot be read."""
    kept = _kept(self.path)
    if kept is not None:
      raise faults.CorruptError(
        f"{self.path} has no {directory.PASSPORT}: a generate-passport that "
        f"was killed left it at {kept.relative_to(self.path)}; the next "
        "sign-checkpoint or generate-passport puts it back first"
      )
    return strict_json.read(self.path / directory.PASSPORT)

  @functools.cached_property
  def passport_sha256(self) -> str:
    """Digest of the passport's bytes."""
    return digest.data(self.passport_bytes)

  @functools.cached_property
  def passport(self) -> schema.Passport:
    """The passport; UserError when it is none."""
    return schema.decode(self.passport_bytes, directory.PASSPORT)

  @functools.cached_property
  def signoff(self) -> schema.SignOff | None:
    """The sign-off, or None; UserError when it is none."""
    path = self.path / directory.SIGNOFF
    if not os.path.lexists(path):
      return None
    return schema.decode_signoff(strict_json.read(path), directory.SIGNOFF)

  @functools.cached_property
  def manifest(self) -> manifest.Manifest | None:
    """The manifest, or None for a checkpoint of another program."""
    if not os.path.lexists(self.path / manifest.NAME):
      return None
    return directory.read_manifest(self.path)

  @functools.cached_property
  def entries(self) -> tuple[Entry, ...]:
    """Everything in the directory but directories; links are not followed."""
    with plain_tree.opened(self.path) as root:
      files, faults = plain_tree.listing(root)
    found = [Entry(name, "file", self._size(name)) for name in files]
    for name, fault in faults.items():
      kind = "link" if fault == plain_tree.LINK else "other"
      found.append(Entry(name, kind, 0))
    return tuple(sorted(found, key=lambda entry: entry.path))

  def _size(self, name: str) -> int:
    return os.lstat(self.path / name).st_size

  @functools.cached_property
  def digests(self) -> dict[str, str]:
    """sha256 of every file but the papers, each read once, in threads."""
    files = [
      entry
      for entry in self.entries
      if entry.kind == "file" and entry.path not in PAPERS
    ]
    with plain_tree.opened(self.path) as root, self._meter(files) as told:

      def hashed(entry: Entry) -> str:
        found = _hashed(root, entry.path)
        told(entry.size_bytes)
        return found

      found = integrity.in_threads(hashed, files)
    names = [entry.path for entry in files]
    return dict(zip(names, found, strict=True))

  @contextlib.contextmanager
  def _meter(self, files: list[Entry]) -> Iterator[Callable[[int], None]]:
    """Yields what is told of each file's bytes: shown if they are many."""
    size = sum(entry.size_bytes for entry in files)
    if not self.options.show_progress or size < meter.SHOWN_FROM_BYTES:
      yield lambda count: None
      return
    shown = meter.Meter(size, len(files))
    try:
      yield shown.add
    finally:
      shown.close()

  def json(self, name: str) -> Any:
    """Returns the value of a JSON file in the directory.

    Raises:
      UserError: it is not there, leads out, or is no sound JSON.
    """
    place = self.inside(name)
    content = strict_json.read(place, documents.LARGEST_BYTES)
    return strict_json.decode(content, name, documents.LARGEST_BYTES)

  def inside(self, name: str) -> pathlib.Path:
    """Returns the path of a file in the directory.

    Raises:
      UserError: it is behind a link, or leads out.
    """
    place = self.path / name
    if place.resolve() != self.path.resolve() / name:
      raise errors.UserError(f"{name} is behind a link or leads out")
    return place


def _hashed(root: int, name: str) -> str:
  """Returns the sha256 of a file, or why there is none."""
  try:
    return plain_tree.sha256(root, name)
  except OSError as error:
    return f"unreadable: {error.strerror}"
