"""What a run directory must agree with before training touches it."""

import contextlib
import json
import os
import pathlib
from typing import Any

from ml_collections import config_dict

from act import dataset
from carnet import checkpoint, errors
from carnet import config as config_lib
from carnet.checkpoint import directory

# Keys that may differ between a run and its resumption: none of them changes
# the parameters that the run ends with.
# (Devices may: sums over other parts of a batch round otherwise.)
_FREE = ("checkpoint.", "evaluation.", "log_every_steps", "devices", "fsdp")
_RENDER_SETTINGS = ("height", "width", "renderer", "shadows", "msaa_samples")


def check_environment(
  config: config_dict.ConfigDict, data: dataset.Dataset
) -> None:
  """Refuses to evaluate another task, or in other pictures, than the data's.

  Raises:
    UserError: the task, a render setting or a camera of `config.environment`
      is not the one that the demonstrations were made with.
  """
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
  for camera in config.dataset.cameras:
    if camera not in config.environment.cameras:
      raise errors.unknown(
        "camera in config.dataset.cameras, config.environment.cameras lacks",
        camera,
        config.environment.cameras,
      )


def check_same_run(
  config: config_dict.ConfigDict, workdir: pathlib.Path
) -> None:
  """Refuses to resume the run in `workdir` with another configuration.

  Compares with what the newest checkpoint carries, so that a run that never
  came to save one leaves no trace.

  Raises:
    UserError: keys that matter differ; the message names them.
  """
  for step in reversed(directory.numbered(workdir / directory.STEPS)):
    with contextlib.suppress(checkpoint.CorruptError):
      before = checkpoint.read_json(step, "config.json")
      _compare(before, config_lib.to_json(config), step)
      return


def write_config(config: config_dict.ConfigDict, workdir: pathlib.Path) -> None:
  """Writes `config.json` for people to read; UserError when it cannot."""
  path = workdir / "config.json"
  draft = path.with_suffix(".tmp")
  try:
    draft.write_text(json.dumps(config_lib.to_json(config), indent=2) + "\n")
    os.replace(draft, path)
  except OSError as error:
    raise errors.UserError(f"cannot write {path}: {error.strerror}") from error


def _compare(
  before: dict[str, Any], asked: dict[str, Any], path: pathlib.Path
) -> None:
  # without a schedule that ends, more steps are the same run, only longer
  extendable = asked["optimizer"]["schedule"] == "constant"
  keys = [
    key
    for key in config_lib.changed(before, asked)
    if not key.startswith(_FREE) and not (key == "total_steps" and extendable)
  ]
  if keys:
    raise errors.UserError(
      f"{path} is of a run with another {', '.join(keys)}: choose another "
      "--workdir, or --config.from_checkpoint to start from that run"
    )
