"""Demonstrations, training, papers, evaluation: `make quickstart`.

Interrupted at any point, the same command goes on where it stopped.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Sequence

from absl import flags

from act import demonstrations, train
from carnet import cli, evaluation
from configs.act import quickstart
from scripts import papers

_SMOKE = flags.DEFINE_bool("smoke", False, "The same path in two minutes.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the training run.", 0)
_STARTED = flags.DEFINE_integer(
  "started", None, "Unix time at which `make` began, to count installation."
)
_FIRST_DEMONSTRATION = 1000  # evaluation uses the seeds below, never seen


@dataclasses.dataclass(frozen=True)
class Scale:
  """How much of everything."""

  name: str
  variant: str
  demonstrations: int
  episodes: int


_FULL = Scale("quickstart", "", demonstrations=200, episodes=50)
_TRIAL = Scale("quickstart-smoke", "smoke", demonstrations=4, episodes=4)


def main(argv: Sequence[str]) -> None:
  """Runs the four stages and prints what came out."""
  del argv
  started = _STARTED.value or time.time()
  scale = _TRIAL if _SMOKE.value else _FULL
  config = quickstart.get_config(scale.variant)
  config.seed = _SEED.value
  config.dataset.path = f"data/{scale.name}"
  suffix = f"-seed{_SEED.value}" if _SEED.value else ""
  workdir = pathlib.Path(f"runs/{scale.name}{suffix}")

  print(f"1/4 {scale.demonstrations} demonstrations -> {config.dataset.path}")
  camera = config.environment.to_dict()
  settings = demonstrations.Settings(
    task=camera.pop("name"),
    episodes=scale.demonstrations,
    first_seed=_FIRST_DEMONSTRATION,
    **camera,
  )
  demonstrations.collect(settings, config.dataset.path)

  print(f"2/4 training {config.total_steps} steps -> {workdir}")
  train.train(config, workdir)

  print("3/4 the checkpoint's passport: issued, validated, signed off")
  issued = papers.attempt(workdir)

  print(f"4/4 evaluating on {scale.episodes} unseen seeds")
  report = evaluation.evaluate(issued.load, range(scale.episodes))
  evaluation.print_report(report)
  _print_next_steps(workdir)
  found = report.evaluation.summary()
  summary = {k: found[k] for k in ("success_rate", "low", "high", "episodes")}
  summary |= {
    "seconds": round(time.time() - started, 1),
    "workdir": str(workdir),
    "checkpoint": str(report.checkpoint),
    **issued.summary(),
  }
  print(json.dumps(summary))
  issued.check()


def _print_next_steps(workdir: pathlib.Path) -> None:
  python = ".venv/bin/python"
  print(
    f"""
Next, try
  {python} scripts/eval.py --checkpoint={workdir} --temporal_ensemble --videos=3
  {python} scripts/quickstart.py --seed=1
  {python} scripts/collect_demos.py --task=aloha/insertion --episodes=50 \\
    --renderer=raycast --height=96 --width=96 --directory=data/insertion
"""
  )


if __name__ == "__main__":
  cli.run(main)
