"""Plots returns of runs over a reference's seeds.

scripts/plot.py --runs=runs/a,runs/b --reference=curves.csv \
  --task=dmc_walker_walk --output=docs/walker_walk.png

The reference is a table with the columns suite, task, seed, frames and
episode_return, such as docs/curves/dreamerv3.csv. Of a run, metrics.jsonl is
read: its episodes (the training policy's, as in the reference), or the means
that the compiled loop writes.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from carnet import cli, curves

_RUNS = flags.DEFINE_list("runs", None, "Work directories, one a seed.")
_REFERENCE = flags.DEFINE_string("reference", None, "Table of other curves.")
_SUITE = flags.DEFINE_string("suite", "dmc_proprio", "Rows of it to take.")
_TASK = flags.DEFINE_string("task", None, "Rows of it to take.")
_TITLE = flags.DEFINE_string("title", "", "Above the plot.")
_BIN = flags.DEFINE_integer("bin", 10_000, "Frames of a point.", 1)
_UP_TO = flags.DEFINE_integer("up_to", 0, "Last frame; 0: the runs' last.", 0)
_OUTPUT = flags.DEFINE_string("output", None, "The picture to write, a PNG.")
flags.mark_flags_as_required(["runs", "output"])


def main(argv: Sequence[str]) -> None:
  """Writes the picture, and prints a row for each point of the runs."""
  del argv
  runs = [
    curves.read_run(pathlib.Path(run), _BIN.value) for run in _RUNS.value or ()
  ]
  last = _UP_TO.value or max(max(run) for run in runs)
  reference = []
  if _REFERENCE.value:
    reference = curves.read_reference(
      pathlib.Path(_REFERENCE.value), _SUITE.value, _TASK.value or ""
    )
  curves.draw(
    runs, reference, last, _TITLE.value, pathlib.Path(str(_OUTPUT.value))
  )
  for line in curves.table(runs, reference, last):
    print(line)


if __name__ == "__main__":
  cli.run(main)
