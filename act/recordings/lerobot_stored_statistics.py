"""Statistics that a LeRobotDataset stores, as flat lists of numbers.

Those of several episodes become one exactly: counts add up, means are weighed
by them, and a variance is the mean of x^2 less the square of the mean of x.
Quantiles of parts do not tell those of the whole, so they are left out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from act.recordings import (
  inside,
  lerobot_episode,
  lerobot_info,
  lerobot_v2,
  lerobot_v3,
)
from carnet import errors

FILE = "meta/stats.json"
_MERGED = ("min", "max", "mean", "std", "count")

Statistics = dict[str, dict[str, list[float]]]


def read(
  info: lerobot_info.Info, episodes: Sequence[lerobot_episode.Episode]
) -> Statistics:
  """Returns feature -> name -> numbers, {} where the data have none."""
  numbers = [episode.number for episode in episodes]
  parts: Sequence[Mapping[str, Any]] = []
  if inside.is_there(info.root, FILE):
    whole = inside.read_json(info.root, FILE)
    if not isinstance(whole, dict):
      raise errors.UserError(f"{info.root / FILE}: not an object")
    return _flat(info, whole, FILE)
  if info.version == "v3.0":
    parts = lerobot_v3.statistics(info, numbers)
    where = lerobot_v3.EPISODES
  elif inside.is_there(info.root, lerobot_v2.EPISODES_STATISTICS):
    parts = lerobot_v2.statistics(info, numbers)
    where = lerobot_v2.EPISODES_STATISTICS
  if len(parts) != len(numbers):
    return {}
  return merge([_flat(info, part, where) for part in parts])


def of_all_episodes(info: lerobot_info.Info) -> Statistics:
  """Returns those of a v2.1 as a whole; its metadata alone need be there.

  Raises:
    UserError: some episodes have none, or are there twice.
  """
  where = lerobot_v2.EPISODES_STATISTICS
  rows = inside.read_json_lines(info.root, where)
  parts = [row["stats"] for row in rows if isinstance(row.get("stats"), dict)]
  numbers = {str(row.get("episode_index")) for row in rows}
  if not len(parts) == len(rows) == len(numbers) == info.total_episodes:
    raise errors.UserError(
      f"{info.root / where} has statistics of {len(numbers)} episodes, "
      f"{lerobot_info.FILE} counts {info.total_episodes}"
    )
  return merge([_flat(info, part, where) for part in parts])


def merge(parts: Sequence[Statistics]) -> Statistics:
  """Returns the statistics of episodes as those of all their frames."""
  out: Statistics = {}
  for feature in parts[0] if parts else ():
    blocks = [part.get(feature, {}) for part in parts]
    if any(set(_MERGED) - block.keys() for block in blocks):
      continue
    sizes = {len(block[name]) for block in blocks for name in _MERGED[:4]}
    if len(sizes) != 1 or any(len(block["count"]) != 1 for block in blocks):
      continue
    low, high, mean, std = (
      np.array([block[name] for block in blocks]) for name in _MERGED[:4]
    )
    count = np.array([block["count"] for block in blocks])
    total = count.sum()
    if total <= 0 or (count < 0).any():
      continue
    center = (count * mean).sum(0) / total
    variance = (count * (std**2 + (mean - center) ** 2)).sum(0) / total
    out[feature] = {
      "min": low.min(0).tolist(),
      "max": high.max(0).tolist(),
      "mean": center.tolist(),
      "std": np.sqrt(variance).tolist(),
      "count": [float(total)],
    }
  return out


def _flat(
  info: lerobot_info.Info, stored: Mapping[str, Any], where: str
) -> Statistics:
  out: Statistics = {}
  for feature in (*info.cameras, *info.vectors):
    block = stored.get(feature)
    if not isinstance(block, Mapping):
      continue
    out[feature] = {}
    for name, values in block.items():
      try:
        numbers = list(_numbers(values))
      except (ValueError, OverflowError, RecursionError) as error:
        raise errors.UserError(
          f"{info.root / where}: {name} of '{feature}': {error}"
        ) from error
      if numbers:
        out[feature][str(name)] = numbers
  return out


def _numbers(values: Any) -> Iterator[float]:
  if isinstance(values, list):
    for value in values:
      yield from _numbers(value)
  elif isinstance(values, int | float):
    if not math.isfinite(values):
      raise ValueError(f"{values} is no number")
    yield float(values)
  elif values is not None:
    raise ValueError(f"{repr(values)[:40]} is no number")
