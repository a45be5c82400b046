"""Writes the configuration of another program into its checkpoint, as JSON.

scripts/dump_config.py CHECKPOINT --entry=my_package.config:get_config \
  --python=/path/to/its/venv/bin/python --training_repo=/path/to/its/code \
  --class=my_package.model:Policy --dataset=cubes@1f3870be \
  --loader_class=my_package.data:Loader --run_log=TRAINING_LOG.md

The entry is imported and called in a fresh process of that environment. What it
returns becomes config.json; what was said of the run, and what the environment
says, becomes run_context.json. What nobody said stays null and is listed.
Checkpoints of carnet's own training have both already.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from carnet import cli, errors, foreign_config

_ENTRY = flags.DEFINE_string(
  "entry", None, "module:function that returns the configuration."
)
_PYTHON = flags.DEFINE_string(
  "python", sys.executable, "The interpreter that has the program's packages."
)
_TRAINING_REPO = flags.DEFINE_string(
  "training_repo", None, "The repository that trained; else that of the entry."
)
_DATASET = flags.DEFINE_multi_string(
  "dataset", [], "ID@REVISION of what it was trained on; repeatable."
)
_LOADER_CLASS = flags.DEFINE_multi_string(
  "loader_class", [], "What reads it, one for each --dataset."
)
_CLASS = flags.DEFINE_string("class", "", "module:Class of the model.")
_RUN_LOG = flags.DEFINE_string(
  "run_log", "", "http(s) address, or a .md file within the checkpoint."
)
_SET = flags.DEFINE_multi_string(
  "set", [], "key.of.config=value that the run was given; repeatable."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what is there.")
flags.mark_flag_as_required("entry")


def main(argv: Sequence[str]) -> None:
  """Hands the flags to `carnet.foreign_config` and prints what is unknown."""
  if len(argv) != 2:
    raise errors.UserError(
      f"give one checkpoint directory, got {len(argv) - 1} (--help shows how)"
    )
  path = pathlib.Path(argv[1])
  repo = _TRAINING_REPO.value
  request = foreign_config.Request(
    entry=str(_ENTRY.value),
    python=_PYTHON.value,
    model_class=_CLASS.value,
    training_repo=pathlib.Path(repo) if repo else None,
    datasets=_DATASET.value,
    loader_classes=_LOADER_CLASS.value,
    run_log=_RUN_LOG.value,
    overrides=_SET.value,
  )
  context = foreign_config.dump(path, request, _OVERWRITE.value)
  print(f"wrote config.json and run_context.json into {path}")
  for name in foreign_config.unknown(context):
    print(f"unknown: {name}")


if __name__ == "__main__":
  cli.run(main, positional=True)
