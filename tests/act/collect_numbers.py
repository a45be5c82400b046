"""Collects from the fake simulator, for tests that interrupt a process.

Usage: collect_numbers.py DIR EPISODES WORKERS SECONDS_PER_STEP
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import fake_simulator

from act import demonstrations
from carnet import cli


def main(argv: list[str]) -> None:
  directory, episodes, workers, seconds = argv[1:]
  demonstrations.collect(
    demonstrations.Settings("fake/numbers", int(episodes), height=32, width=32),
    directory,
    int(workers),
    fake_simulator.Simulator(float(seconds)),
  )
  heavy = {"jax", "tensorflow", "mujoco"} & set(sys.modules)
  assert not heavy, heavy


if __name__ == "__main__":
  arguments, sys.argv = sys.argv, sys.argv[:1]
  cli.run(lambda _: main(arguments))
