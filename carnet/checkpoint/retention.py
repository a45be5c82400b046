"""Which steps stay on disk."""

import dataclasses
import heapq
from collections.abc import Collection, Mapping

from carnet import errors


@dataclasses.dataclass(frozen=True)
class Entry:
  """A step on disk, as far as retention cares."""

  step: int
  metrics: Mapping[str, float | None]
  signed: bool = False


@dataclasses.dataclass(frozen=True)
class Retention:
  """Keeps a step that any of the rules keeps.

  Attributes:
    latest: the newest so many steps, at least 1.
    best: the best so many steps by `metric`; of equal ones, the newer.
    metric: name in the metrics given to `save`; a step without it, or with
      NaN or an infinity, is never among the best.
    higher_is_better: what best means.
    every_steps: multiples of this, other than 0; 0 keeps none.
  """

  latest: int = 1
  best: int = 0
  metric: str = ""
  higher_is_better: bool = True
  every_steps: int = 0

  def __post_init__(self) -> None:
    if self.latest < 1 or self.best < 0 or self.every_steps < 0:
      raise errors.UserError(
        "retention needs latest >= 1, best >= 0 and every_steps >= 0, got "
        f"{self.latest}, {self.best}, {self.every_steps}"
      )
    if self.best and not self.metric:
      raise errors.UserError("retention of the best steps needs a metric")

  def kept(self, entries: Collection[Entry]) -> set[int]:
    """Returns the steps to keep: the newest and signed ones always."""
    steps = [entry.step for entry in entries]
    kept = set(heapq.nlargest(self.latest, steps))
    kept |= {entry.step for entry in entries if entry.signed}
    kept |= set(self._best(entries))
    if self.every_steps:
      kept |= {step for step in steps if step and step % self.every_steps == 0}
    return kept

  def _best(self, entries: Collection[Entry]) -> list[int]:
    sign = 1 if self.higher_is_better else -1
    scores = []
    for entry in entries:
      value = entry.metrics.get(self.metric)
      if value is not None:
        scores.append((sign * value, entry.step))
    return [step for _, step in heapq.nlargest(self.best, scores)]
