"""Which statistics an imported policy is scaled by, in the end."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from act import normalize
from act.lerobot import completing, declared, policy_statistics
from carnet import errors
from carnet.passport import shown


class Chosen:
  """The checkpoint's own statistics, made whole by what the user points at.

  Attributes:
    blocks: of our stats.json.
    source: for people.
    imagenet: whether images are scaled by ImageNet's numbers.
    digests: of the files that the user pointed at.
    fps: of the dataset that the user pointed at.
    notes: what a person should know, a line each.
  """

  def __init__(
    self,
    scaling: policy_statistics.Found,
    trained: Mapping[str, Any] | None,
    wanted: declared.Declared,
    where: pathlib.Path,
    asked: str,
  ) -> None:
    """Makes them whole.

    Args:
      scaling: what the checkpoint has.
      trained: its train_config.json.
      wanted: what the network sees.
      where: the directory of the checkpoint.
      asked: where the user says that the rest is, or "".

    Raises:
      UserError: a number is missing or cannot be, or nothing is missing and
        the user points elsewhere.
    """
    self.imagenet, self.source = False, scaling.source
    self.digests: Mapping[str, str] = {}
    self.fps: float | None = None
    self.notes: list[str] = []
    self._trained, self._rename = trained or {}, scaling.rename
    found = dict(scaling.statistics)
    open_features = completing.missing(found, wanted)
    if asked and not open_features:
      raise errors.UserError(
        f"{where} has statistics of its own: leave --stats away"
      )
    if asked:
      found = self._complete(found, completing.elsewhere(asked), wanted)
      open_features = completing.missing(found, wanted)
    if open_features:
      raise errors.UserError(
        f"{asked or where} lacks statistics of "
        f"{', '.join(open_features)}: --stats names the dataset that the "
        "policy was trained on, or a dataset_stats.pkl"
      )
    self.blocks = completing.ours(found, wanted, f"the statistics of {where}")
    self.imagenet = self.imagenet or _is_imagenet(self.blocks, wanted)
    completing.unite(self.blocks, wanted)

  def _complete(
    self,
    found: dict[str, Mapping[str, np.ndarray]],
    other: completing.Elsewhere,
    wanted: declared.Declared,
  ) -> dict[str, Mapping[str, np.ndarray]]:
    """Returns the statistics with those of a dataset for what is missing."""
    self.source = ", ".join(filter(None, (self.source, other.place)))
    self.digests = {f"stats/{n}": x for n, x in other.digests.items()}
    self.fps = other.fps
    theirs = {ours: name for name, ours in self._rename.items()}
    for feature in completing.missing(found, wanted):
      kind = wanted.kinds()[feature]
      name = theirs.get(feature, feature)
      if kind == "VISUAL" and self._by_imagenet(wanted):
        self._check_camera(feature, name, other)
        self.imagenet = True
        found[feature] = _imagenet()
        continue
      block = other.statistics.get(name, other.statistics.get(feature))
      if block is not None:
        found[feature] = block
    return found

  def _check_camera(
    self, feature: str, name: str, other: completing.Elsewhere
  ) -> None:
    """Refuses data that cannot be the policy's, or notes that they look so.

    ImageNet's numbers need no data, but a dataset without the camera is hardly
    the one that the policy was trained on. Where train_config.json says that
    images were scaled by ImageNet's the import is right all the same.
    """
    if other.features is None or {name, feature} & other.features:
      return
    lacks = f"{shown.cut(other.place)} has no camera '{name}'"
    if self._told_imagenet() is None:
      raise errors.UserError(
        f"{lacks}, which the policy sees: --stats names the dataset that it "
        "was trained on"
      )
    self.notes.append(
      f"{lacks}: it is scaled by ImageNet's numbers, as train_config.json says"
    )

  def _told_imagenet(self) -> bool | None:
    """Returns `dataset.use_imagenet_stats` of train_config.json, if it is."""
    data = self._trained.get("dataset")
    if isinstance(data, Mapping) and "use_imagenet_stats" in data:
      return bool(data["use_imagenet_stats"])
    return None

  def _by_imagenet(self, wanted: declared.Declared) -> bool:
    """Tells whether LeRobot put ImageNet's numbers in the place of the data's.

    `dataset.use_imagenet_stats` of train_config.json says so; it is on unless
    somebody turned it off.
    """
    if wanted.modes["VISUAL"] != "mean_std":
      return False
    told = self._told_imagenet()
    if told is not None:
      return told
    if not self.notes:
      self.notes.append(
        "no file tells by which statistics images were scaled: ImageNet's are "
        "taken, LeRobot's default"
      )
    return True


def _is_imagenet(
  blocks: Mapping[str, Mapping[str, list[float]]], wanted: declared.Declared
) -> bool:
  """Tells whether all images are scaled by ImageNet's numbers.

  Training that goes on has to scale them so too, not by the data's.
  """
  if wanted.modes["VISUAL"] != "mean_std":
    return False
  return all(
    blocks[wanted.ours()[camera]][name] == list(map(np.float32, numbers))
    for camera in wanted.cameras
    for name, numbers in _imagenet().items()
  )


def _imagenet() -> dict[str, np.ndarray]:
  return {name: np.array(x) for name, x in normalize.IMAGENET.items()}
