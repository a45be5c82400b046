"""Brings policies and demonstrations in and out.

scripts/convert.py import-lerobot outputs/train/act --workdir=runs/imported
scripts/convert.py export-lerobot runs/mine --out=outputs/mine
scripts/convert.py export-dataset data/aloha_transfer_cube --out=data/as_lerobot
scripts/convert.py cache lerobot:data/so101 --out=data/so101_cache

Demonstrations are written as for training: lerobot:PATH,
lerobot:user/name@revision, hdf5:PATH, rlds:PATH, or the path of ours.
"""

import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from carnet import cli, errors
from carnet.passport.static import given
from scripts import papers

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "import-lerobot: where the checkpoint goes, as of a run."
)
_OUT = flags.DEFINE_string(
  "out", None, "export-lerobot, export-dataset, cache: where the result goes."
)
_STATS = flags.DEFINE_string(
  "stats",
  "",
  "import-lerobot: the dataset whose meta/stats.json has the statistics, where "
  "the checkpoint has none; or the dataset_stats.pkl of the original ACT.",
)
_ENVIRONMENT = flags.DEFINE_string(
  "environment", "", "import-lerobot: simulator to evaluate in, if any."
)
_CAMERAS = flags.DEFINE_list(
  "cameras", [], "import-lerobot: of an original ACT, in their order."
)
_HEIGHT = flags.DEFINE_integer(
  "height", 480, "import-lerobot: pixels of an original ACT's cameras.", 1
)
_WIDTH = flags.DEFINE_integer(
  "width", 640, "import-lerobot: pixels of an original ACT's cameras.", 1
)
_HEADS = flags.DEFINE_integer(
  "heads", 8, "import-lerobot: attention heads of an original ACT.", 1
)
_DATASET = flags.DEFINE_string(
  "dataset",
  "",
  "import-lerobot: recordings of this robot, lerobot:PATH; its passport keeps "
  "what the policy answers.",
)
_PASSPORT = flags.DEFINE_bool(
  "passport", True, "import-lerobot: issue the passport at the end."
)
_CONTROL_HZ = flags.DEFINE_float(
  "control_hz", None, "import-lerobot: commands a second, if nothing tells.", 0
)
_ANY_WIDTHS = flags.DEFINE_bool(
  "any_widths",
  False,
  "export-lerobot: also a backbone whose widths are not torchvision's, which "
  "LeRobot will not load.",
)
_REPO_ID = flags.DEFINE_string(
  "repo_id", "", "export-lerobot, export-dataset: user/name to write into it."
)
_CODEC = flags.DEFINE_enum(
  "codec", "av1", ["av1", "h264"], "export-dataset: of the videos."
)
_WORKERS = flags.DEFINE_integer(
  "workers", 0, "export-dataset, cache: processes; 0 is one a core.", 0
)
_FPS = flags.DEFINE_float(
  "fps", None, "export-dataset: frames a second, if the data do not tell.", 1
)
_QUALITY = flags.DEFINE_integer("quality", 90, "cache: of the JPEGs.", 1, 100)
_SKIP_BAD = flags.DEFINE_bool(
  "skip_bad_episodes", False, "export-dataset, cache: leave them out, and say."
)
_OWN_FLAGS = {
  "import-lerobot": (
    *("workdir", "stats", "environment", "cameras", "height", "width"),
    *("heads", "control_hz", "dataset", "passport"),
  ),
  "export-lerobot": ("out", "any_widths", "repo_id"),
  "export-dataset": (
    *("out", "repo_id", "codec", "workers", "fps", "skip_bad_episodes"),
  ),
  "cache": ("out", "workers", "quality", "skip_bad_episodes"),
}


def main(argv: Sequence[str]) -> None:
  """Runs one command."""
  name, (path,) = cli.command(argv, dict.fromkeys(_COMMANDS, 1), _OWN_FLAGS)
  _COMMANDS[name](path)


def _directory(name: str, value: str | None) -> pathlib.Path:
  if not value:
    raise errors.UserError(f"--{name} is missing: name a directory")
  return pathlib.Path(value)


def _import_lerobot(source: str) -> None:
  from act.lerobot import importing

  step = importing.import_policy(
    source,
    _directory("workdir", _WORKDIR.value),
    importing.Asked(
      statistics=_STATS.value,
      environment=_ENVIRONMENT.value,
      cameras=tuple(_CAMERAS.value),
      height=_HEIGHT.value,
      width=_WIDTH.value,
      heads=_HEADS.value,
      control_hz=_CONTROL_HZ.value,
    ),
  )
  print(f"checkpoint: {step}")
  if _PASSPORT.value:
    _issue(step)


def _issue(step: pathlib.Path) -> None:
  """Issues the passport, which says what the other program did not record."""
  told = given.Given(
    argv=tuple(sys.argv),
    allow_missing=("training_datasets", "run_log"),
    reason="imported; the program that trained it does not record this",
  )
  try:
    papers.issue(step, told=told, dataset=_DATASET.value)
  except errors.UserError as error:
    raise errors.UserError(
      f"{step} is imported and saved, but has no passport: {error}"
    ) from error
  if not _DATASET.value:
    print(
      "the passport holds no answers to real frames, which its validation asks "
      f"for: generate-passport {step} --dataset-path lerobot:DATA "
      "--allow-missing training_datasets --allow-missing run_log "
      "--reason imported"
    )
  papers.print_next_steps(step)


def _export_lerobot(checkpoint: str) -> None:
  from act.lerobot import exporting

  found = exporting.export_policy(
    pathlib.Path(checkpoint),
    _directory("out", _OUT.value),
    exporting.Asked(repo_id=_REPO_ID.value, any_widths=_ANY_WIDTHS.value),
  )
  print(f"policy: {found}")


def _export_dataset(origin: str) -> None:
  from act.recordings import base, lerobot_writer

  found = lerobot_writer.export(
    origin,
    _directory("out", _OUT.value),
    lerobot_writer.Asked(
      repo_id=_REPO_ID.value,
      codec=_CODEC.value,
      workers=_WORKERS.value,
      fps=_FPS.value,
    ),
    base.Options(skip_bad=_SKIP_BAD.value),
  )
  _tell_skipped(lerobot_writer.source(found))
  print(f"dataset: {found}")


def _cache(origin: str) -> None:
  from act.recordings import base, caching

  found = caching.cache(
    origin,
    _directory("out", _OUT.value),
    caching.Asked(workers=_WORKERS.value, quality=_QUALITY.value),
    base.Options(skip_bad=_SKIP_BAD.value),
  )
  _tell_skipped(caching.source(found))
  print(f"cache: {found}")


def _tell_skipped(source: Mapping[str, Any]) -> None:
  for row in source["skipped"]:
    print(f"left out episode {row['episode']}: {row['reason']}")


_COMMANDS: dict[str, Callable[[str], None]] = {
  "import-lerobot": _import_lerobot,
  "export-lerobot": _export_lerobot,
  "export-dataset": _export_dataset,
  "cache": _cache,
}

if __name__ == "__main__":
  cli.run(main, positional=True)
