"""The ten statistics of LeRobot, of an episode and of all.

Means and quantiles of all are those of all frames; LeRobot averages the
episodes' quantiles. Pictures are sampled as LeRobot does, thinned and counted
as `act.statistics` does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from act import statistics

_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
ORDER = ("min", "max", "mean", "std", "count", *_QUANTILES)

Table = dict[str, dict[str, Any]]


def sampled(length: int) -> list[int]:
  """Returns the frames of an episode that count (compute_stats.py)."""
  count = max(min(length, 100), min(int(length**0.75), 10_000))
  return np.round(np.linspace(0, length - 1, count)).astype(int).tolist()


def of(
  columns: Mapping[str, np.ndarray],
  counts: Mapping[str, np.ndarray],
  lengths: list[int],
) -> Table:
  """Returns feature -> statistic -> value.

  Args:
    columns: the vectors, [F D] or [F].
    counts: of each camera, as `act.statistics.count` sums them up.
    lengths: of the episodes that they are of.
  """
  table: Table = {}
  frames = sum(len(sampled(length)) for length in lengths)
  for name, count in counts.items():
    block = statistics.of_counts(count, _QUANTILES)
    # (3, 1, 1), in 0..1
    image: dict[str, Any] = {
      key: [[[value]] for value in values] for key, values in block.items()
    }
    table[name] = _ordered(image | {"count": [frames]})
  for name, values in columns.items():
    wide = values[:, None] if values.ndim == 1 else values
    vector: dict[str, Any] = dict(
      statistics.of_vectors(wide.astype(np.float64), _QUANTILES)
    )
    table[name] = _ordered(vector | {"count": [len(values)]})
  return table


def _ordered(block: dict[str, Any]) -> dict[str, Any]:
  return {name: block[name] for name in ORDER}
