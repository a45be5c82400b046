"""Trains a policy; the same command again resumes.

scripts/train.py --config=configs/act/quickstart.py --workdir=runs/quickstart
"""

import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from carnet import cli, errors
from scripts import families, papers

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Config file, with :variant if it has any.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Where the run keeps its metrics and checkpoints."
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Check, show what from_checkpoint restores, write nothing."
)
_SKIP_BAD = flags.DEFINE_bool(
  "skip_bad_episodes",
  False,
  "ACT: leave unsound episodes out, list them in the passport; the same as "
  "--config.dataset.skip_bad_episodes.",
)
_PASSPORT = flags.DEFINE_bool(
  "passport", True, "Issue the passport of the last checkpoint at the end."
)
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: Sequence[str]) -> None:
  """Hands the flags to `act.train.train` or `dreamer.train.train`."""
  del argv
  families.import_modules()
  config, workdir = _CONFIG.value, pathlib.Path(str(_WORKDIR.value))
  if families.of(config) == "act":
    from act import train as act_train

    if _SKIP_BAD.value:
      config.dataset.skip_bad_episodes = True
    act_train.train(config, workdir, _DRY_RUN.value)
  elif _SKIP_BAD.value:
    raise errors.UserError("--skip_bad_episodes: DreamerV3 reads no episodes")
  else:
    from dreamer import train as dreamer_train

    dreamer_train.train(config, workdir, _DRY_RUN.value)
  if _PASSPORT.value and not _DRY_RUN.value:
    _issue(workdir)


def _issue(workdir: pathlib.Path) -> None:
  try:
    step = papers.issue(workdir, families.imported())
  except errors.UserError as error:
    raise errors.UserError(
      f"training ended and is saved, but has no passport: {error}; "
      f"generate-passport {workdir} tries again"
    ) from error
  papers.print_next_steps(step)


if __name__ == "__main__":
  cli.run(main)
