"""What an inspection found, as values that JSON can hold."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

Severity = Literal["severe", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("severe", "warning", "note")


@dataclasses.dataclass(frozen=True)
class Finding:
  """Something that whoever trains on the data should know.

  Attributes:
    kind: the same words for the same fault: "frozen camera".
    severity: severe spoils training or its evaluation.
    said: what was found, with its numbers.
    advice: what to do about it.
    feature: the camera or vector; "" is all of the data.
    dimensions: joints, by name, or by number where they have none.
    episode: the number that the data give it; None is no single one.
    frame: within the episode; the first, where it lasts.
    last_frame: where it ends, if it lasts.
  """

  kind: str
  severity: Severity
  said: str
  advice: str
  feature: str = ""
  dimensions: tuple[str, ...] = ()
  episode: int | None = None
  frame: int | None = None
  last_frame: int | None = None

  @property
  def where(self) -> str:
    """Says feature, joints, episode and frames in a few words."""
    parts = [self.feature] if self.feature else []
    if self.dimensions:
      shown = ", ".join(self.dimensions[:4])
      more = len(self.dimensions) - 4
      parts.append(shown + (f" and {more} more" if more > 0 else ""))
    if self.episode is not None:
      parts.append(f"episode {self.episode}")
    if self.frame is not None:
      last = self.last_frame
      parts.append(
        f"frame {self.frame}" if last is None else f"frames {self.frame}-{last}"
      )
    return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Dimension:
  """One number of a vector over all frames; `histogram` counts equal bins."""

  name: str
  min: float
  max: float
  mean: float
  std: float
  q01: float
  q50: float
  q99: float
  histogram: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Feature:
  """A vector, or a camera: its mean and std are of samples, in 0..1."""

  name: str
  kind: Literal["camera", "vector"]
  shape: tuple[int, ...]
  dimensions: tuple[Dimension, ...] = ()


@dataclasses.dataclass(frozen=True)
class Difference:
  """A stored statistic that the data do not have."""

  feature: str
  statistic: str
  dimension: str
  stored: float
  measured: float
  deviations: float  # the difference, in standard deviations of the data


@dataclasses.dataclass(frozen=True)
class Episode:
  """An episode in use."""

  number: int
  frames: int
  task: str


@dataclasses.dataclass(frozen=True)
class Report:
  """All that an inspection found.

  Attributes:
    pictures_read: frames that were looked at, of each camera.
    full: whether these were all.
    statistics: whether the data came with some, and what they were of.
  """

  origin: str
  identity: str
  format: str
  revision: str | None
  fps: float | None
  episodes: tuple[Episode, ...]
  features: tuple[Feature, ...]
  statistics: str
  differences: tuple[Difference, ...]
  findings: tuple[Finding, ...]
  pictures_read: int
  full: bool
  details: Mapping[str, Any]

  @property
  def frames(self) -> int:
    """How many frames all episodes have."""
    return sum(episode.frames for episode in self.episodes)

  @property
  def seconds(self) -> float | None:
    """How long all episodes take; None where the rate is unknown."""
    return self.frames / self.fps if self.fps else None

  @property
  def tasks(self) -> dict[str, int]:
    """How many episodes show each task."""
    found: dict[str, int] = {}
    for episode in self.episodes:
      found[episode.task] = found.get(episode.task, 0) + 1
    return found

  def count(self, severity: Severity) -> int:
    """Returns how many findings are that severe."""
    return sum(finding.severity == severity for finding in self.findings)

  def to_json(self) -> dict[str, Any]:
    """Returns JSON values, without NaN or infinity."""
    derived = {
      "frames": self.frames,
      "seconds": self.seconds,
      "tasks": self.tasks,
      "counts": {severity: self.count(severity) for severity in SEVERITIES},
    }
    return _plain(dataclasses.asdict(self) | derived)


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
  """Returns the findings in the order in which to read them."""
  return tuple(sorted(findings, key=lambda x: SEVERITIES.index(x.severity)))


def _plain(value: Any) -> Any:
  if isinstance(value, Mapping):
    return {str(key): _plain(inner) for key, inner in value.items()}
  if isinstance(value, (list, tuple)):
    return [_plain(inner) for inner in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
