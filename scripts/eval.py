"""Evaluates a checkpoint in simulation; it needs the checkpoint alone.

scripts/eval.py --checkpoint=runs/quickstart --episodes=50
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from act import evaluation
from carnet import cli

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A step directory, or a workdir for its newest step."
)
_EPISODES = flags.DEFINE_integer("episodes", 50, "How many seeds.", 1)
_FIRST_SEED = flags.DEFINE_integer("first_seed", 0, "Seeds count from here.", 0)
_N_ACTION_STEPS = flags.DEFINE_integer(
  "n_action_steps", None, "Actions executed per query; as trained if unset.", 1
)
_TEMPORAL_ENSEMBLE = flags.DEFINE_bool(
  "temporal_ensemble", None, "Average overlapping chunks; as trained if unset."
)
_COEFFICIENT = flags.DEFINE_float(
  "temporal_ensemble_coefficient", None, "m of the weights exp(-m i)."
)
_VIDEOS = flags.DEFINE_integer("videos", 1, "Episodes to film.", 0)
_VIDEO_HEIGHT = flags.DEFINE_integer("video_height", 360, "Pixels.", 16)
_OUTPUT = flags.DEFINE_string(
  "output", None, "Directory of the results; workdir/evaluation/STEP if unset."
)
flags.mark_flag_as_required("checkpoint")


def main(argv: Sequence[str]) -> None:
  """Hands the flags to `act.evaluation` and prints what it found."""
  del argv
  report = evaluation.evaluate_checkpoint(
    pathlib.Path(str(_CHECKPOINT.value)),
    output=pathlib.Path(_OUTPUT.value) if _OUTPUT.value else None,
    seeds=range(_FIRST_SEED.value, _FIRST_SEED.value + _EPISODES.value),
    overrides={
      "n_action_steps": _N_ACTION_STEPS.value,
      "temporal_ensemble": _TEMPORAL_ENSEMBLE.value,
      "temporal_ensemble_coefficient": _COEFFICIENT.value,
    },
    videos=_VIDEOS.value,
    video_height=_VIDEO_HEIGHT.value,
  )
  evaluation.print_report(report)


if __name__ == "__main__":
  cli.run(main)
