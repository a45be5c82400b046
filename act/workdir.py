"""What a run directory must agree with before training touches it."""

import json
import os
import pathlib
from typing import Any

from ml_collections import config_dict

from act import dataset
from carnet import config as config_lib
from carnet import errors

# Keys that may differ between a run and its resumption: none of them changes
# the parameters that the run ends with.
_FREE = ("checkpoint.", "evaluation.", "log_every_steps", "devices", "fsdp")
_RENDER_SETTINGS = ("height", "width", "renderer", "shadows", "msaa_samples")


def check_environment(
  config: config_dict.ConfigDict, data: dataset.Dataset
) -> None:
  """Refuses to evaluate in pictures that differ from the demonstrations'.

  Raises:
    UserError: a render setting or a camera of `config.environment` is not the
      one that the demonstrations were rendered with.
  """
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


def claim(config: config_dict.ConfigDict, workdir: pathlib.Path) -> None:
  """Writes `config.json` into a new run directory, or compares with it.

  Raises:
    UserError: the directory cannot be written, or holds a run of another
      configuration; the message names the keys.
  """
  path = workdir / "config.json"
  asked = config_lib.to_json(config)
  if path.exists():
    _compare(_read(path), asked, path)
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(asked, indent=2) + "\n")
    os.replace(draft, path)
  except OSError as error:
    raise errors.UserError(f"cannot write {path}: {error.strerror}") from error


def _read(path: pathlib.Path) -> dict[str, Any]:
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise errors.UserError(f"{path} is not JSON ({error})") from error


def _compare(
  before: dict[str, Any], asked: dict[str, Any], path: pathlib.Path
) -> None:
  keys = [
    key
    for key in config_lib.changed(before, asked)
    if not key.startswith(_FREE)
  ]
  if keys:
    raise errors.UserError(
      f"{path} is of a run with another {', '.join(keys)}: choose another "
      "--workdir, or --config.from_checkpoint to start from that run"
    )
