"""The data of an exported policy, as `lerobot-train --resume` finds them.

Which episodes a run trained on is in run_context.json, where the data lie in
dataset.json: of a cache, that is where its source lies, and of an imported
policy what its train_config.json said.
"""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from carnet import run_context, terminal

_HUB = re.compile(r"lerobot:([\w.-]+/[\w.-]+)@([0-9a-f]{40})", re.ASCII)
_LOCAL = "lerobot:"
_MOST_NUMBERS = 20  # of episodes in a sentence


@dataclasses.dataclass(frozen=True)
class Data:
  """The data of a run; None and () where nothing is recorded.

  Attributes:
    identity: their name.
    revision: a commit, or a digest of the content.
    commit: of the hub.
    root: directory of a LeRobotDataset, absolute.
    is_lerobot: whether they are one, or a cache of one.
    total: how many episodes there are in all.
    training, held_out: numbers of episodes, as the data have them.
    skipped: unsound episode -> what was wrong.
    excluded: left out because the config says so.
  """

  identity: str | None
  revision: str | None
  commit: str | None
  root: str | None
  is_lerobot: bool
  total: int | None
  training: tuple[int, ...] | None
  held_out: tuple[int, ...]
  skipped: Mapping[int, str]
  excluded: tuple[int, ...]

  @property
  def episodes(self) -> list[int] | None:
    """LeRobot's `dataset.episodes`; None is all of them, or not recorded."""
    if self.training is None:
      return None
    is_all = self.total is not None and set(self.training) >= set(
      range(self.total)
    )
    return None if is_all else list(self.training)

  def notes(self, repo_id: str = "") -> list[str]:
    """Returns what a person who resumes training has to know.

    Args:
      repo_id: where the user says that the data are.
    """
    if self.training is None:
      return []
    found = self._left_out()
    if repo_id:
      return found
    if not self.is_lerobot:
      found.append(
        "the data are no LeRobotDataset: before a training is resumed, "
        "scripts/convert.py export-dataset makes one, which --dataset.root "
        "of lerobot-train names"
      )
    elif self.root and not os.path.isdir(self.root):
      found.append(
        f"the data were at {terminal.printable(self.root)}, where nothing is "
        "now: --dataset.root of lerobot-train names another place"
      )
    return found

  def _left_out(self) -> list[str]:
    count = len(self.training or ())
    reasons = [
      f"{what} {_numbers(numbers)}"
      for what, numbers in (
        ("held out", self.held_out),
        ("unsound", tuple(self.skipped)),
        ("excluded", self.excluded),
      )
      if numbers
    ]
    if self.episodes is None or not (reasons or self.total):
      return []
    of = f" of {self.total}" if self.total else ""
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return [
      f"the run trained on {count}{of} episodes{why}: dataset.episodes of "
      "train_config.json has their numbers, so that a resumed training takes "
      "no others"
    ]

  def to_json(self) -> dict[str, Any]:
    """Returns what carnet.json says of the data."""
    return {
      "identity": self.identity,
      "revision": self.revision,
      "training_episodes": None if self.training is None else [*self.training],
      "held_out_episodes": [*self.held_out],
      "excluded_episodes": [*self.excluded],
      "skipped": [
        {"episode": number, "reason": reason}
        for number, reason in self.skipped.items()
      ],
    }


def of(
  config: config_dict.ConfigDict,
  dataset: Mapping[str, Any],
  recorded: run_context.Dataset | None,
) -> Data:
  """Returns the data of a run.

  Args:
    config: `config.dataset` of the run.
    dataset: of dataset.json.
    recorded: of run_context.json.
  """
  source = dataset.get("source") or {}
  origin = str(source.get("origin") or "")
  split: dict[str, Any] = (recorded.split if recorded else None) or {}
  training = split.get("training_episodes")
  pinned = _HUB.fullmatch(origin)
  name = source.get("identity") or dataset.get("task")
  revision = source.get("revision") or (recorded.revision if recorded else None)
  skipped = _skipped(dataset)
  left_out = config.exclude_episodes or split.get("excluded_episodes") or ()
  excluded = set(left_out if training else ()) - skipped.keys()
  found = Data(
    identity=str(pinned[1] if pinned else name or "") or None,
    revision=revision,
    commit=pinned[2] if pinned else None,
    root=None if pinned else _root(origin),
    is_lerobot=origin.startswith(_LOCAL),
    total=_total(dataset),
    training=_sorted(training) if isinstance(training, list) else None,
    held_out=_sorted(split.get("validation_episodes") or []),
    skipped=skipped,
    excluded=_sorted(excluded),
  )
  return _as_told(found, dataset) if dataset.get("lerobot") else found


def _as_told(found: Data, dataset: Mapping[str, Any]) -> Data:
  """Returns the data of an imported policy, which lie where its files say."""
  told = (dataset["lerobot"].get("train_config") or {}).get("dataset")
  told = told if isinstance(told, Mapping) else {}
  root, commit = told.get("root"), told.get("revision")
  is_all = told.get("episodes") is None and found.training is not None
  return dataclasses.replace(
    found,
    root=root if isinstance(root, str) else None,
    commit=commit if isinstance(commit, str) else None,
    is_lerobot=bool(root or commit),
    total=max(found.training or (-1,)) + 1 if is_all else None,
  )


def _root(origin: str) -> str | None:
  if not origin.startswith(_LOCAL):
    return None
  return os.path.abspath(os.path.expanduser(origin.removeprefix(_LOCAL)))


def _total(dataset: Mapping[str, Any]) -> int | None:
  """Returns how many episodes the data have, or the source of a cache."""
  source = dataset.get("source") or {}
  total = (source.get("details") or {}).get("total_episodes")
  if total is None and not source and "episodes" in dataset:
    total = len(dataset["episodes"])  # demonstrations of our own
  return total


def _skipped(dataset: Mapping[str, Any]) -> dict[int, str]:
  rows = [
    *((dataset.get("source") or {}).get("skipped") or ()),  # by a cache
    *(dataset.get("skipped") or ()),
  ]
  found = {int(row["episode"]): str(row["reason"]) for row in rows}
  return {number: found[number] for number in sorted(found)}


def _sorted(numbers: Any) -> tuple[int, ...]:
  return tuple(sorted(int(number) for number in numbers))


def _numbers(found: Sequence[int]) -> str:
  named = ", ".join(str(number) for number in found[:_MOST_NUMBERS])
  more = len(found) - _MOST_NUMBERS
  return f"{named} and {more} more" if more > 0 else named
