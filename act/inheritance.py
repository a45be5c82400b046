"""What a run keeps from its beginning, or from the policy it goes on from."""

import dataclasses
import pathlib

from ml_collections import config_dict

from act import dataset
from act.recordings import base, metadata
from carnet import checkpoint, errors
from carnet.checkpoint import directory

SOURCES = ("data", "parent")


def left_out(
  config: config_dict.ConfigDict, workdir: pathlib.Path
) -> tuple[base.Skipped, ...] | None:
  """Returns the unsound episodes that the run in `workdir` leaves out.

  None where it has not begun, or may leave none out.
  """
  begun = directory.complete(workdir / directory.STEPS)
  if not begun or not config.dataset.skip_bad_episodes:
    return None
  return metadata.left_out(checkpoint.read_json(workdir, "dataset.json"))


def statistics(
  config: config_dict.ConfigDict, workdir: pathlib.Path, data: dataset.Dataset
) -> dataset.Dataset:
  """Returns `data` with the statistics that `config.normalization` asks for.

  A run that has begun has them in its own checkpoints.

  Raises:
    UserError: there is no parent, or it has no statistics of some feature.
  """
  source = config.normalization.source
  if source not in SOURCES:
    raise errors.unknown("config.normalization.source", source, SOURCES)
  if source == "data":
    return data
  if not config.from_checkpoint:
    raise errors.UserError(
      "config.normalization.source is 'parent', but config.from_checkpoint "
      "names none"
    )
  begun = directory.complete(workdir / directory.STEPS)
  place = workdir if begun else pathlib.Path(config.from_checkpoint)
  return dataclasses.replace(
    data, statistics=checkpoint.read_json(place, "stats.json")
  )
