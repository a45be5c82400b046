"""The learner benchmark runs on tiny batches and gives every figure."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/dreamer_learner.py"
TINY = ("--batch_size=2", "--batch_length=2", "--repeats=2")


def _run(*options: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, str(SCRIPT), *TINY, *options],
    capture_output=True,
    text=True,
    # compiles in a fifth of the time
    env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
  )


@pytest.mark.parametrize(
  "options", [(), ("--device_replay", "--updates=2")], ids=["plain", "replay"]
)
def test_every_figure_is_there(options, tmp_path):
  done = _run("--cases=walker", f"--directory={tmp_path}", *options)
  assert done.returncode == 0, done.stderr
  [row] = [json.loads(line) for line in done.stdout.splitlines()]
  assert (row["case"], row["parameters"]) == ("walker_1m", 640_867)
  assert row["updates_per_dispatch"] == (2 if options else 1)
  for prefix in ("", "policy_"):
    for name in ("wall_seconds", "cpu_seconds", "compile_seconds"):
      assert row[f"{prefix}{name}"] > 0
    assert row[f"{prefix}wall_seconds"] <= row[f"{prefix}wall_seconds_median"]
  assert row["policy_wall_seconds"] < row["wall_seconds"]
  # parameters, two moments and the slow critic
  assert row["checkpoint_mib"] > 3 * 4 * row["parameters"] / 2**20
  assert min(row["save_seconds"], row["load_seconds"]) > 0
  assert row["peak_memory_mib"] > 100
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("option", "message"),
  [
    ("--cases=walkers", "walker_1m"),
    ("--cases=walker_2m", "12m"),
    ("--updates=2", "--device_replay"),
  ],
)
def test_mistakes_are_one_line(option, message):
  done = _run(option)
  assert done.returncode == 2
  assert message in done.stderr
  assert done.stderr.count("\n") == 1
