"""Evaluates a checkpoint in simulation; it needs the checkpoint alone.

scripts/eval.py --checkpoint=runs/quickstart --episodes=50
scripts/eval.py --checkpoint=runs/so101

A policy of a robot, which has no simulator, is compared with what was recorded:
held-out episodes of its data, or all of --dataset.

The policy is fed as its passport says, and a checkpoint whose passport does not
validate is refused: a number measured with a wrong feed is worse than none.
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from carnet import checkpoint, cli, errors, evaluation, policy
from carnet.checkpoint import directory
from scripts import families

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A step directory, or a workdir for its newest step."
)
_EPISODES = flags.DEFINE_integer(
  "episodes", 50, "How many seeds, or recorded episodes at most.", 1
)
_DATASET = flags.DEFINE_string(
  "dataset", "", "ACT: compare with these recordings, such as lerobot:PATH."
)
_FIRST_SEED = flags.DEFINE_integer("first_seed", 0, "Seeds count from here.", 0)
_N_ACTION_STEPS = flags.DEFINE_integer(
  "n_action_steps", None, "ACT: actions executed per query; else as trained.", 1
)
_TEMPORAL_ENSEMBLE = flags.DEFINE_bool(
  "temporal_ensemble", None, "ACT: average overlapping chunks; else as trained."
)
_COEFFICIENT = flags.DEFINE_float(
  "temporal_ensemble_coefficient", None, "ACT: m of the weights exp(-m i)."
)
_ACTIONS = flags.DEFINE_enum(
  "actions",
  None,
  ["sample", "mode"],
  "Dreamer: how to act; else as configured.",
)
_VIDEOS = flags.DEFINE_integer("videos", 1, "Episodes to film.", 0)
_VIDEO_HEIGHT = flags.DEFINE_integer("video_height", 360, "Pixels.", 16)
_OUTPUT = flags.DEFINE_string(
  "output", None, "Directory of the results; workdir/evaluation/STEP if unset."
)
_NO_PASSPORT = flags.DEFINE_bool(
  "no_passport", False, "Evaluate without papers; the results say so."
)
_REQUIRE_SIGNOFF = flags.DEFINE_bool(
  "require_signoff", False, "Also refuse what nobody has signed off."
)
_PUBLIC_KEY = flags.DEFINE_string(
  "public_key", None, "PEM of whom to believe; asks for a signature."
)
flags.mark_flag_as_required("checkpoint")
_OF_FAMILY = {
  "act": (_N_ACTION_STEPS, _TEMPORAL_ENSEMBLE, _COEFFICIENT),
  "dreamer": (_ACTIONS,),
}


def main(argv: Sequence[str]) -> None:
  """Hands the flags to `carnet.evaluation` and prints what it found."""
  del argv
  families.import_modules()
  path = pathlib.Path(str(_CHECKPOINT.value))
  overrides = _overrides(path)
  if _is_open_loop(path):
    _compare_with_recordings(path, overrides)
    return
  report = evaluation.evaluate(
    functools.partial(_load, path, overrides),
    seeds=range(_FIRST_SEED.value, _FIRST_SEED.value + _EPISODES.value),
    output=pathlib.Path(_OUTPUT.value) if _OUTPUT.value else None,
    videos=_VIDEOS.value,
    video_height=_VIDEO_HEIGHT.value,
  )
  evaluation.print_report(report)


def _is_open_loop(path: pathlib.Path) -> bool:
  """Tells whether there is no simulator, or recordings were named."""
  if _family(path) != "act":
    if _DATASET.value:
      raise errors.UserError(f"--dataset is an option of act; {path} is not")
    return False
  config = checkpoint.read_json(directory.resolve(path), "config.json")
  simulator = config.get("environment", {}).get("name", "")
  return bool(_DATASET.value or not simulator)


def _compare_with_recordings(
  path: pathlib.Path, overrides: dict[str, Any]
) -> None:
  from act import open_loop, open_loop_report

  report = open_loop.evaluate(
    _load(path, overrides),
    _DATASET.value,
    _EPISODES.value,
    pathlib.Path(_OUTPUT.value) if _OUTPUT.value else None,
  )
  open_loop_report.show(report)


def _family(path: pathlib.Path) -> str:
  step = directory.resolve(path)
  return families.of(checkpoint.read_json(step, "config.json"))


def _load(path: pathlib.Path, overrides: dict[str, Any]) -> evaluation.Loaded:
  signed = _REQUIRE_SIGNOFF.value or _PUBLIC_KEY.value is not None
  if not _NO_PASSPORT.value:
    return policy.load(path, signed, _PUBLIC_KEY.value, overrides)
  if signed:
    raise errors.UserError(
      "--no_passport and a sign-off exclude each other: leave one away"
    )
  return policy.without_passport(path, overrides)


def _overrides(path: pathlib.Path) -> dict[str, Any]:
  """Returns the execution options that were given.

  Raises:
    UserError: one of the other family's.
  """
  family = _family(path)
  for other, options in _OF_FAMILY.items():
    for option in options:
      if other != family and option.value is not None:
        raise errors.UserError(
          f"--{option.name} is an option of {other}; {path} is of {family}"
        )
  return {option.name: option.value for option in _OF_FAMILY[family]}


if __name__ == "__main__":
  cli.run(main)
