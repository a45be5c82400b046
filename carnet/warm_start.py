"""Starting from a part of another run: the `from_checkpoint` keys of a config.

Every family's configuration has the four keys; see docs/checkpoint.md.
"""

import contextlib
import pathlib

from ml_collections import config_dict

from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import errors
from carnet.checkpoint import plan

_SHOWN = 8  # settings that an error names


def load(
  config: config_dict.ConfigDict,
  checkpoint: checkpoint_lib.Checkpoint,
  explains: tuple[str, ...] = (),
  dry_run: bool = False,
) -> checkpoint_lib.Report:
  """Loads what `config.from_checkpoint` asks for; prints the report.

  Args:
    config: of the new run.
    checkpoint: with its components registered.
    explains: beginnings of the keys that decide on shapes, most telling first;
      those that differ are named where leaves do not fit.
    dry_run: show what would be restored, change nothing.

  Raises:
    UserError: no such checkpoint, or leaves that do not fit.
  """
  path = pathlib.Path(config.from_checkpoint)
  try:
    return checkpoint.load(
      path,
      regex=config.from_checkpoint_regex,
      exclude=config.from_checkpoint_exclude or None,
      rename=plan.parse_rename(config.from_checkpoint_rename),
      dry_run=dry_run,
    )
  except checkpoint_lib.MismatchError as error:
    settings = _differing(config, path, explains)
    if not settings:
      raise
    raise errors.UserError(f"{error}; these settings differ: {settings}") from (
      error
    )


def _differing(
  config: config_dict.ConfigDict, path: pathlib.Path, explains: tuple[str, ...]
) -> str:
  """Returns the settings of the parent that decide on shapes and differ."""
  with contextlib.suppress(errors.UserError):
    theirs = checkpoint_lib.read_json(path, "config.json")
    ours = config_lib.to_json(config)
    changed = config_lib.changed(theirs, ours)
    keys = [k for start in explains for k in changed if k.startswith(start)]
    lines = [
      f"config.{key} is {config_lib.get(ours, key)} here and "
      f"{config_lib.get(theirs, key)} there"
      for key in keys[:_SHOWN]
    ]
    more = len(keys) - _SHOWN
    return ", ".join(lines) + (f" and {more} more" if more > 0 else "")
  return ""
