"""The metadata.json of our directories, of either kind, as one thing."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from act import statistics, storage
from act.recordings import base

# what `act.launch` wants to know of a simulator
_SETTINGS = {"height", "width", "renderer", "shadows", "msaa_samples"}
_ARM = (
  *("waist", "shoulder", "elbow", "forearm_roll"),
  *("wrist_angle", "wrist_rotate", "gripper"),
)
# Those of the simulated ALOHA, in its order; LeRobot calls them the same.
ALOHA_JOINTS = tuple(f"{side}_{x}" for side in ("left", "right") for x in _ARM)


@dataclasses.dataclass(frozen=True)
class Episode:
  """One episode and the file of its records."""

  number: int
  first_frame: int
  length: int
  task: str
  shard: str


@dataclasses.dataclass(frozen=True)
class Layout:
  """What a metadata.json says.

  Attributes:
    format: for people.
    identity: name of the data.
    fps: frames a second, if known.
    num_frames: of all episodes.
    cameras: height, width, encoding of each, in order.
    sizes: of the vectors, in order.
    dimensions: their names, () where unknown.
    episodes: in order.
    statistics: computed over these very frames, by camera or vector.
    normalizing: those to use, where the source of a cache has its own.
    skipped: what a cache leaves out of its source.
    in_cache: whether it is a cache.
  """

  format: str
  identity: str
  fps: float | None
  num_frames: int
  cameras: Mapping[str, Mapping[str, Any]]
  sizes: Mapping[str, int]
  dimensions: Mapping[str, tuple[str, ...]]
  episodes: tuple[Episode, ...]
  statistics: Mapping[str, statistics.Block]
  normalizing: Mapping[str, Mapping[str, list[float]]]
  skipped: tuple[base.Skipped, ...]
  in_cache: bool

  def column(self, vector: str) -> str:
    """Returns the name of a vector among the columns."""
    return f"vectors/{vector}" if self.in_cache else vector

  def key(self, camera: str) -> str:
    """Returns the name under which metadata.json has a camera's statistics."""
    return camera if self.in_cache else f"images/{camera}"


def shards(metadata: Mapping[str, Any]) -> set[str]:
  """Returns the names of the files that hold episodes."""
  count = len(metadata["episodes"])
  task = metadata["task"]
  return {storage.shard_name(task, index, count) for index in range(count)}


def of(metadata: Mapping[str, Any]) -> Layout:
  """Returns the layout; KeyError, TypeError or ValueError when damaged."""
  in_cache = metadata["format_version"] == storage.CACHE_VERSION
  if not in_cache and (lacking := _SETTINGS - metadata["settings"].keys()):
    raise KeyError(f"settings lack {', '.join(sorted(lacking))}")
  episodes = _episodes(metadata)
  order = metadata["order"] if in_cache else {}
  blocks = {
    name if in_cache else name.removeprefix("images/"): block
    for name, block in metadata.get("statistics", {}).items()
  }
  fps = metadata["control_hz"]
  kind = f"carnet array_record v{metadata['format_version']}"
  return Layout(
    format=f"{kind}, a cache" if in_cache else kind,
    identity=metadata["task"],
    fps=None if fps is None else float(fps),
    num_frames=metadata["num_frames"],
    cameras=_ordered(metadata["cameras"], order.get("cameras")),
    sizes=_ordered(metadata["sizes"], order.get("vectors")),
    dimensions=_dimensions(metadata, in_cache),
    episodes=episodes,
    statistics=blocks,
    normalizing=_preferred(metadata, blocks) if in_cache else blocks,
    skipped=tuple(
      base.Skipped(int(row["episode"]), str(row["reason"]))
      for row in (metadata["source"]["skipped"] if in_cache else ())
    ),
    in_cache=in_cache,
  )


def _ordered(
  named: Mapping[str, Any], order: list[str] | None
) -> dict[str, Any]:
  return {name: named[name] for name in order or named}


def _episodes(metadata: Mapping[str, Any]) -> tuple[Episode, ...]:
  table, task = metadata["episodes"], metadata["task"]
  episodes, first_frame = [], 0
  for index, row in enumerate(table):
    episodes.append(
      Episode(
        number=int(row.get("episode", index)),
        first_frame=first_frame,
        length=row["length"],
        task=row.get("task", task),
        shard=storage.shard_name(task, index, len(table)),
      )
    )
    first_frame += row["length"]
  shortest = min((episode.length for episode in episodes), default=0)
  if first_frame != metadata["num_frames"] or shortest < 1:
    raise ValueError(f"{first_frame} frames, not {metadata['num_frames']}")
  return tuple(episodes)


def _dimensions(
  metadata: Mapping[str, Any], in_cache: bool
) -> dict[str, tuple[str, ...]]:
  if in_cache:
    return {name: tuple(x) for name, x in metadata["dimensions"].items()}
  aloha = metadata["task"].startswith("aloha/")
  return {
    name: ALOHA_JOINTS if aloha and size == len(ALOHA_JOINTS) else ()
    for name, size in metadata["sizes"].items()
  }


def _preferred(
  metadata: Mapping[str, Any], blocks: Mapping[str, statistics.Block]
) -> dict[str, dict[str, list[float]]]:
  """Returns those of the source, so that a cache trains as its source does."""
  stored = metadata["source"]["statistics"]
  return {name: block | stored.get(name, {}) for name, block in blocks.items()}
