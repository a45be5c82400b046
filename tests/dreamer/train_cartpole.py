"""Trains `tiny_loop.cartpole`, for tests that kill it: WORKDIR."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

if __name__ == "__main__":
  import tiny_loop

  from dreamer import train

  train.train(tiny_loop.cartpole(), pathlib.Path(sys.argv[1]))
