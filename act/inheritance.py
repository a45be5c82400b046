"""Statistics that a policy keeps from the one that it goes on from."""

import dataclasses
import pathlib

from ml_collections import config_dict

from act import dataset
from carnet import checkpoint, errors
from carnet.checkpoint import directory

SOURCES = ("data", "parent")


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
