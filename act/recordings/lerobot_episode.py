"""Episodes of a LeRobotDataset, and the list of those that are unsound."""

import dataclasses
from collections.abc import Mapping

from act.recordings import base, remedy
from carnet import errors


@dataclasses.dataclass(frozen=True)
class Clip:
  """Where the pictures of an episode begin in a file of videos."""

  path: str
  first: int


@dataclasses.dataclass(frozen=True)
class Episode:
  """One episode as the metadata describe it; paths are below the root."""

  number: int
  length: int
  tasks: tuple[str, ...]
  data: str
  clips: Mapping[str, Clip]


class Ledger:
  """Collects what is wrong with episodes, or stops at the first."""

  def __init__(self, skip_bad: bool) -> None:
    self._skip_bad = skip_bad
    self._reasons: dict[int, str] = {}

  def __contains__(self, number: int) -> bool:
    return number in self._reasons

  def add(self, number: int, reason: str) -> None:
    """Leaves an episode out for a reason that names the file.

    Raises:
      UserError: unless unsound episodes are to be skipped.
    """
    if not self._skip_bad:
      raise errors.UserError(
        f"episode {number}: {reason} (repair it; {remedy.SKIP_BAD})"
      )
    self._reasons.setdefault(number, reason)

  def skipped(self) -> tuple[base.Skipped, ...]:
    """Returns the episodes that were left out."""
    return tuple(
      base.Skipped(number, reason)
      for number, reason in sorted(self._reasons.items())
    )
