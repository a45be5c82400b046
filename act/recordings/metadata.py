"""What a checkpoint keeps of the demonstrations: its `dataset.json`.

    task        the identity of the data
    control_hz  frames a second
    names       what the policy calls a feature -> its name in the data
    skipped     unsound episodes that were left out
    dimensions  what the policy calls a vector -> names of its numbers
    source      format, origin, revision, episodes, tasks, and anything else

Of our own demonstrations and caches it is their metadata.json, to which names
are added where they differ.
"""

from collections.abc import Mapping
from typing import Any

from act.recordings import base, naming


def of(found: base.Recording, chosen: naming.Chosen) -> dict[str, Any]:
  """Returns the JSON values."""
  names, skipped = chosen.all(), _skipped(found)
  if is_ours(found.details):
    differing = any(_last(ours) != theirs for ours, theirs in names.items())
    added: dict[str, Any] = {"names": names} if differing else {}
    if "dimensions" in found.details:  # of a cache, by the names of the data
      added["dimensions"] = _dimensions(found, chosen)
    if skipped:
      added["skipped"] = skipped
    return found.details | added
  return {
    "task": found.identity,
    "control_hz": found.fps,
    "names": names,
    "dimensions": _dimensions(found, chosen),
    "num_frames": found.num_frames,
    "skipped": skipped,
    "source": {
      "format": found.format,
      "origin": found.origin,
      "revision": found.revision,
      "episodes": found.episodes.tolist(),
      "tasks": list(dict.fromkeys(found.tasks)),
      "details": found.details,
    },
  }


def _dimensions(
  found: base.Recording, chosen: naming.Chosen
) -> dict[str, list[str]]:
  vectors = (*chosen.state.items(), *chosen.environment_state.items())
  return {
    ours: list(found.vectors[name].names)
    for ours, name in (*vectors, (naming.ACTION, chosen.action))
  }


def is_ours(details: Mapping[str, Any]) -> bool:
  """Whether these are the details, or the papers, of data in our layout."""
  return "format_version" in details


def uncached(found: base.Recording) -> frozenset[int]:
  """Returns the episodes of the source that a cache was made without."""
  if not is_ours(found.details) or "source" not in found.details:
    return frozenset()
  rows = found.details["source"]["skipped"]
  return frozenset(int(row["episode"]) for row in rows)


def left_out(stored: Mapping[str, Any]) -> tuple[base.Skipped, ...]:
  """Returns the episodes that a `dataset.json` says were left out."""
  return tuple(
    base.Skipped(int(row["episode"]), str(row["reason"]))
    for row in stored.get("skipped", ())
  )


def _last(name: str) -> str:
  return name.removeprefix("images/")


def _skipped(found: base.Recording) -> list[dict[str, Any]]:
  return [{"episode": x.episode, "reason": x.reason} for x in found.skipped]
