"""Caches or exports, for tests that interrupt a process.

Usage: cache_numbers.py cache|export ORIGIN DIR WORKERS SECONDS_PER_EPISODE
"""

import sys
import time

from act.recordings import caching, caching_workers, lerobot_writer
from carnet import cli


def main(argv: list[str]) -> None:
  command, origin, directory, workers, seconds = argv[1:]
  if float(seconds):  # of a single worker
    work = caching_workers.Repacker.work

    def slow(self, index):
      work(self, index)
      time.sleep(float(seconds))

    caching_workers.Repacker.work = slow
  if command == "cache":
    caching.cache(origin, directory, caching.Asked(workers=int(workers)))
  else:
    asked = lerobot_writer.Asked(workers=int(workers))
    lerobot_writer.export(origin, directory, asked)


if __name__ == "__main__":
  arguments, sys.argv = sys.argv, sys.argv[:1]
  cli.run(lambda _: main(arguments))
