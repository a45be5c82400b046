"""What a checkpoint keeps of the demonstrations: its `dataset.json`.

    task        the identity of the data
    control_hz  frames a second
    names       what the policy calls a feature -> its name in the data
    skipped     unsound episodes that were left out
    source      format, origin, revision, episodes, tasks, and anything else

Of our own demonstrations it is their metadata.json, to which names are added
where they differ.
"""

from typing import Any

from act.recordings import base, naming

_MOST_EPISODES = 10_000  # whose numbers are written down


def of(found: base.Recording, chosen: naming.Chosen) -> dict[str, Any]:
  """Returns the JSON values."""
  names, skipped = chosen.all(), _skipped(found)
  if "format_version" in found.details:  # ours; the key holds its format
    differing = any(_last(ours) != theirs for ours, theirs in names.items())
    named = {"names": names} if differing else {}
    return found.details | named | ({"skipped": skipped} if skipped else {})
  vectors = (*chosen.state.items(), *chosen.environment_state.items())
  return {
    "task": found.identity,
    "control_hz": found.fps,
    "names": names,
    "dimensions": {
      ours: list(found.vectors[name].names)
      for ours, name in (*vectors, (naming.ACTION, chosen.action))
    },
    "num_frames": found.num_frames,
    "skipped": skipped,
    "source": {
      "format": found.format,
      "origin": found.origin,
      "revision": found.revision,
      "episodes": found.episodes[:_MOST_EPISODES].tolist(),
      "tasks": list(dict.fromkeys(found.tasks)),
      "details": found.details,
    },
  }


def _last(name: str) -> str:
  return name.removeprefix("images/")


def _skipped(found: base.Recording) -> list[dict[str, Any]]:
  return [{"episode": x.episode, "reason": x.reason} for x in found.skipped]
