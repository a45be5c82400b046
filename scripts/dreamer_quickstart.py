"""DreamerV3 learns Catch: `make dreamer-quickstart` in one command.

Interrupted at any point, the same command goes on where it stopped.
"""

import json
import pathlib
import time
from collections.abc import Sequence

from absl import flags

from carnet import cli, evaluation
from configs.dreamer import catch
from dreamer import train
from scripts import papers

_SEED = flags.DEFINE_integer("seed", 0, "Of the training run.", 0)
_STARTED = flags.DEFINE_integer(
  "started", None, "Unix time at which `make` began, to count installation."
)
_EPISODES = 200


def main(argv: Sequence[str]) -> None:
  """Trains, issues papers, evaluates, and prints what came out."""
  del argv
  started = _STARTED.value or time.time()
  config = catch.get_config()
  config.seed = _SEED.value
  suffix = f"-seed{_SEED.value}" if _SEED.value else ""
  workdir = pathlib.Path(f"runs/dreamer-quickstart{suffix}")

  print(f"1/3 training {config.total_steps} steps -> {workdir}")
  train.train(config, workdir)

  print("2/3 the checkpoint's passport: issued, validated, signed off")
  issued = papers.attempt(workdir)

  print(f"3/3 evaluating on {_EPISODES} seeds")
  report = evaluation.evaluate(issued.load, range(_EPISODES))
  evaluation.print_report(report)
  found = report.evaluation.summary()
  summary = {k: found[k] for k in ("mean_return", "standard_error", "episodes")}
  summary |= {
    "seconds": round(time.time() - started, 1),
    "workdir": str(workdir),
    "checkpoint": str(report.checkpoint),
    **issued.summary(),
  }
  print(json.dumps(summary))
  issued.check()


if __name__ == "__main__":
  cli.run(main)
