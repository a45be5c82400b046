"""What a run directory must agree with before training touches it."""

import contextlib
import json
import os
import pathlib
from typing import Any

from ml_collections import config_dict

from carnet import checkpoint, errors
from carnet import config as config_lib
from carnet.checkpoint import directory


def check_same_run(
  config: config_dict.ConfigDict,
  workdir: pathlib.Path,
  free: tuple[str, ...],
) -> None:
  """Refuses to resume the run in `workdir` with another configuration.

  Compares with what the newest checkpoint carries, so that a run that never
  came to save one leaves no trace.

  Args:
    config: of the run that is about to begin.
    workdir: where it is to go.
    free: beginnings of keys that may differ: none of them changes the
      parameters that the run ends with.

  Raises:
    UserError: keys that matter differ; the message names them.
  """
  for step in reversed(directory.numbered(workdir / directory.STEPS)):
    with contextlib.suppress(checkpoint.CorruptError):
      before = checkpoint.read_json(step, "config.json")
      _compare(before, config_lib.to_json(config), step, free)
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
  before: dict[str, Any],
  asked: dict[str, Any],
  path: pathlib.Path,
  free: tuple[str, ...],
) -> None:
  keys = [
    key for key in config_lib.changed(before, asked) if not key.startswith(free)
  ]
  if keys:
    raise errors.UserError(
      f"{path} is of a run with another {', '.join(keys)}: choose another "
      "--workdir, or --config.from_checkpoint to start from that run"
    )
