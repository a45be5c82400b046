"""Reads the numbers of one episode of RLDS, and what its pictures are.

Letters: D dimensions, T steps of an episode.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from act.recordings import rlds_features, rlds_images, rlds_record
from carnet import errors

Feature = rlds_features.Feature
_WIDEST = 256  # numbers; what is wider is an embedding or a depth picture
_RATES = ("fps", "control_hz", "control_frequency")
_KINDS = "fiu"


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is read of every episode."""

  vectors: tuple[Feature, ...]
  cameras: tuple[Feature, ...]
  needed: tuple[Feature, ...]  # cameras whose pictures must be there
  texts: tuple[str, ...]  # where a task may be told
  steps: tuple[Feature, ...]
  rates: tuple[Feature, ...]


@dataclasses.dataclass(frozen=True)
class Episode:
  """What is read of an episode when the data are opened."""

  place: rlds_images.Place
  vectors: dict[str, np.ndarray]
  sizes: dict[str, tuple[int, int]]
  others: dict[str, tuple[int, int]]  # of cameras that nobody asked for
  task: str
  fps: float | None
  digest: bytes

  @property
  def length(self) -> int:
    """Returns T."""
    return len(next(iter(self.vectors.values())))

  @property
  def layout(self) -> tuple[tuple[str, Any], ...]:
    """Returns what must be the same in every episode."""
    widths = {name: x.shape[1] for name, x in self.vectors.items()}
    return (*widths.items(), *self.sizes.items())


def plan_of(
  root: pathlib.Path,
  steps: Sequence[Feature],
  others: Sequence[Feature],
  cameras: Sequence[str] | None,
) -> Plan:
  """Returns what to read of steps with these features."""
  pictures = tuple(x for x in steps if x.is_picture)
  vectors = tuple(x for x in steps if _is_vector(x) and x not in pictures)
  if not vectors:
    raise errors.UserError(f"{root / 'features.json'}: no step holds a number")
  return Plan(
    vectors=vectors,
    cameras=pictures,
    needed=tuple(x for x in pictures if cameras is None or x.name in cameras),
    texts=(
      *(rlds_record.STEPS + name for name in _instructions(steps)),
      *_instructions(others),
    ),
    steps=tuple(steps),
    rates=tuple(
      x
      for x in others
      if x.name.rpartition("/")[2] in _RATES and x.kind == "tensor"
    ),
  )


def _is_vector(feature: Feature) -> bool:
  if feature.kind != "tensor" or feature.dtype == "string":
    return False
  known = [length for length in feature.shape if length is not None]
  narrow = np.prod(known, dtype=np.int64) <= _WIDEST
  ragged = feature.shape.count(None)
  plain = ragged == 0 or (ragged == 1 and feature.encoding == "none")
  try:
    kind = np.dtype(feature.dtype).kind
  except TypeError:  # bfloat16
    return False
  return bool(narrow and plain and kind in _KINDS)


def _instructions(features: Iterable[Feature]) -> Iterator[str]:
  for feature in features:
    told = feature.kind == "text" or feature.dtype == "string"
    if told and feature.name.endswith("instruction"):
      yield feature.name


def attempt(
  plan: Plan,
  shards: rlds_images.Shards,
  root: pathlib.Path,
  place: rlds_images.Place,
) -> tuple[Episode | None, str]:
  """Returns an episode, or None and why it is unsound."""
  try:
    return _read(plan, shards, root, place), ""
  except (ValueError, KeyError) as error:
    return None, " ".join(str(error).split())


def _read(
  plan: Plan,
  shards: rlds_images.Shards,
  root: pathlib.Path,
  place: rlds_images.Place,
) -> Episode:
  if not place.shard.resolve().is_relative_to(root):
    raise ValueError("a link out of the directory, which is refused")
  if not place.shard.is_file():
    raise ValueError("the file is missing")
  if shards.count(place.shard) <= place.record:
    raise ValueError("the file ends before this episode: truncated")
  record = shards.read(place)
  stored = rlds_record.features(record)
  length = rlds_record.count_steps(stored, plan.steps)
  if length < 2:
    raise ValueError(f"an episode of {length} steps")
  vectors = {x.name: _vector(stored, x, length) for x in plan.vectors}
  sizes = {x.name: _size(stored, x, length) for x in plan.needed}
  return Episode(
    place=place,
    vectors=vectors,
    sizes=sizes,
    others=dict(_others(stored, plan, length)),
    task=_task(stored, plan.texts),
    fps=_rate(stored, plan.rates),
    digest=hashlib.sha256(record).digest(),
  )


def _message(stored: Mapping[str, memoryview], feature: Feature) -> memoryview:
  name = rlds_record.STEPS + feature.name
  if name not in stored:
    kind = "camera" if feature.is_picture else "vector"
    raise ValueError(f"no {kind} '{feature.name}'")
  return stored[name]


def _vector(
  stored: Mapping[str, memoryview], feature: Feature, length: int
) -> np.ndarray:
  try:
    message = _message(stored, feature)
    values = rlds_record.vector(message, feature, length)
  except ValueError as error:
    raise ValueError(f"'{feature.name}': {error}") from error
  if not np.isfinite(values).all():
    step, dimension = np.argwhere(~np.isfinite(values))[0]
    raise ValueError(
      f"'{feature.name}' is {values[step, dimension]} in frame {step}, "
      f"dimension {dimension}"
    )
  return values


def _size(
  stored: Mapping[str, memoryview], feature: Feature, length: int
) -> tuple[int, int]:
  if feature.kind == "tensor":
    height, width, _ = (length or 0 for length in feature.shape)
    return height, width
  rows = rlds_record.texts(_message(stored, feature))
  if len(rows) != length:
    raise ValueError(f"camera '{feature.name}': {len(rows)} of {length} frames")
  return rlds_record.size(rows[0])


def _others(
  stored: Mapping[str, memoryview], plan: Plan, length: int
) -> Iterator[tuple[str, tuple[int, int]]]:
  for feature in plan.cameras:
    if feature not in plan.needed:
      with contextlib.suppress(ValueError):
        yield feature.name, _size(stored, feature, length)


def _task(stored: Mapping[str, memoryview], names: Iterable[str]) -> str:
  for name in names:
    said = rlds_record.texts(stored.get(name, memoryview(b"")))
    if said and bytes(said[0]).strip():
      return str(said[0], "utf-8", "replace").strip()
  return ""


def _rate(
  stored: Mapping[str, memoryview], features: Iterable[Feature]
) -> float | None:
  for feature in features:
    if feature.name in stored:
      rate = float(rlds_record.numbers(stored[feature.name], 1)[0])
      return rate if 0 < rate < 10_000 else None
  return None
