"""What the data and the run directory must agree with before training."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from act import dataset, features
from carnet import checkpoint, errors, workdir
from carnet.checkpoint import directory

# Keys that may differ between a run and its resumption: none of them changes
# the parameters that the run ends with.
# (Devices may: sums over other parts of a batch round otherwise.)
# (Data may move: `check_same_data` compares what they hold.)
_FREE = (
  "dataset.path",
  "checkpoint.",
  "evaluation.",
  "log_every_steps",
  "devices",
  "fsdp",
)
_HEAD = "agent/params/action_head/kernel"
_RENDER_SETTINGS = ("height", "width", "renderer", "shadows", "msaa_samples")


def check_environment(
  config: config_dict.ConfigDict, data: dataset.Dataset
) -> None:
  """Refuses to evaluate another task, or in other pictures, than the data's.

  Data of a robot have no simulator, and data of other people do not tell how
  their pictures were rendered: of those only the sizes are compared.

  Raises:
    UserError: the task, a render setting or a camera of `config.environment`
      is not the one that the demonstrations were made with.
  """
  if not config.environment.name:
    return
  for camera in config.dataset.cameras:
    if camera not in config.environment.cameras:
      raise errors.unknown(
        "camera in config.dataset.cameras, config.environment.cameras lacks",
        camera,
        config.environment.cameras,
      )
  if "settings" not in data.metadata:
    _check_sizes(config, data)
    return
  task = data.metadata["task"]
  if config.environment.name != task:
    raise errors.UserError(
      f"config.environment.name is '{config.environment.name}', but the "
      f"demonstrations in {data.path} are of '{task}'"
    )
  recorded = data.metadata["settings"]
  for name in _RENDER_SETTINGS:
    asked = config.environment[name]
    if asked != recorded[name]:
      raise errors.UserError(
        f"config.environment.{name} is {asked!r}, but the demonstrations in "
        f"{data.path} were rendered with {recorded[name]!r}: set "
        f"--config.environment.{name}={recorded[name]} or collect others"
      )


def _check_sizes(config: config_dict.ConfigDict, data: dataset.Dataset) -> None:
  size = (config.environment.height, config.environment.width)
  for camera, (height, width, _) in data.features.images:
    if (height, width) != size:
      raise errors.UserError(
        f"camera '{camera}' of {data.origin} has {height}x{width} pixels, the "
        f"environment {size[0]}x{size[1]}: set config.environment.height and "
        "config.environment.width, or config.environment.name='' for none"
      )


def check_parent(config: config_dict.ConfigDict, data: dataset.Dataset) -> None:
  """Refuses to continue a policy on data of other names or widths.

  Only where `config.from_checkpoint` is an ACT of ours, of which more than the
  backbone is taken: what it calls "top" must be called so here too.

  Raises:
    UserError: it shows both lists.
  """
  place = config.from_checkpoint
  if not place or not _takes_the_head(config.from_checkpoint_regex):
    return
  try:
    stored = checkpoint.read_json(place, "features.json")
  except errors.UserError:
    return  # of another format or family, which names no features
  theirs = _described(features.from_json(stored))
  ours = _described(data.features)
  if theirs != ours:
    raise errors.UserError(
      f"{place} takes {theirs}, but of {data.origin} the policy would take "
      f"{ours}: choose with config.dataset.cameras and config.dataset.state, "
      "or rename with config.dataset.rename=('THEIRS => WANTED',)"
    )


def _takes_the_head(regex: str) -> bool:
  try:
    return re.fullmatch(regex, _HEAD) is not None
  except re.error:
    return False  # refused where it is used


def _described(spec: features.Features) -> str:
  sizes = (
    ("state", spec.state_size),
    ("environment_state", spec.environment_state_size),
    ("action", spec.action_size),
  )
  vectors = [f"{name}[{size}]" for name, size in sizes if size]
  return f"cameras ({', '.join(spec.cameras)}), {', '.join(vectors)}"


def check_same_run(config: config_dict.ConfigDict, path: pathlib.Path) -> None:
  """Refuses to resume the run in `path` with another configuration.

  Raises:
    UserError: keys that matter differ; the message names them.
  """
  # without a schedule that ends, more steps are the same run, only longer
  constant = config.optimizer.schedule == "constant"
  free = (*_FREE, "total_steps") if constant else _FREE
  workdir.check_same_run(config, path, free)


def check_same_data(data: dataset.Dataset, path: pathlib.Path) -> None:
  """Refuses to resume the run in `path` on data that changed meanwhile.

  Raises:
    UserError: the content is another than that of its newest checkpoint.
  """
  if not directory.complete(path / directory.STEPS):
    return
  if not is_same_data(data, checkpoint.read_json(path, "dataset.json")):
    raise errors.UserError(
      f"{data.origin} is not what the run in {path} began with: put the data "
      "back, or choose another --workdir"
    )


def is_same_data(data: dataset.Dataset, stored: Mapping[str, Any]) -> bool:
  """Compares with the `dataset.json` of a checkpoint; data may have moved."""
  if data.is_ours:
    return data.metadata == stored
  return is_same_content(data, stored)


def is_same_content(data: dataset.Dataset, stored: Mapping[str, Any]) -> bool:
  """The same, whichever episodes of them are in use."""
  if data.is_ours:
    ours, theirs = ({**x, "skipped": 0} for x in (data.metadata, stored))
    return ours == theirs
  return bool(stored.get("source", {}).get("revision") == data.revision)
