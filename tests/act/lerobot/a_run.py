"""Runs that have been set up on real data, and not begun."""

import dataclasses
import pathlib
import sys
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint

from act import dataset as dataset_lib
from act import launch
from act.lerobot import to_config, trained_on
from carnet import run_context


@dataclasses.dataclass(frozen=True)
class Run:
  """One of them."""

  config: Any
  opened: dataset_lib.Dataset
  context: run_context.Context

  @property
  def data(self) -> trained_on.Data:
    """What an export knows of them."""
    (recorded,) = self.context.datasets
    return trained_on.of(self.config.dataset, self.opened.metadata, recorded)

  @property
  def names(self) -> to_config.Names:
    """What an export calls the features."""
    return to_config.names(
      self.opened.features, self.config.dataset, self.opened.metadata
    )


def run(
  path: str | pathlib.Path, held_out: tuple[int, ...] = (), **asked: Any
) -> Run:
  """Returns a run on data as they are opened, with these episodes held out."""
  config = a_checkpoint.narrow()
  config.dataset.update(path=str(path), **asked)
  opened = dataset_lib.open_configured(config.dataset)
  config.dataset.cameras = opened.features.cameras
  numbers = opened.episodes.tolist()
  training = [i for i, x in enumerate(numbers) if x not in held_out]
  others = [i for i, x in enumerate(numbers) if x in held_out]
  return Run(config, opened, launch.capture(config, opened, training, others))
