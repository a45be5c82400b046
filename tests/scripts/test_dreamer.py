"""DreamerV3 from the command line: mistakes end with one line and code 2."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DEBUG = "--config=configs/dreamer/debug.py"
MISTAKES = {
  "task": ([f"{DEBUG}:dmc/walker_wlak"], "did you mean 'dmc/walker_walk'"),
  "environment": ([f"{DEBUG}:crafter/rewards"], "'crafter/reward'"),
  "gym": ([f"{DEBUG}:gym:CartPole-v7"], "gym:CartPole-v1"),
  "protocol": (
    ["--config=configs/dreamer/dmc_proprio.py:walker_walk,publishd"],
    "did you mean 'published'",
  ),
  "key": ([DEBUG, "--config.rssm.detr=32"], "deter"),
  "range": ([DEBUG, "--config.rssm.deter=18"], "config.rssm.deter=18"),
  "short": ([DEBUG, "--config.total_steps=20"], "before the first update"),
  "compiled": (
    [DEBUG, "--config.loop.compiled", "--config.loop.train_ratio=1"],
    "'gym:CartPole-v1'",
  ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
  """Returns what each mistake is answered with; two run at a time."""
  root, found = tmp_path_factory.mktemp("mistakes"), {}
  names = list(MISTAKES)
  for pair in zip(names[::2], names[1::2], strict=True):
    running = {name: _start(root / name, MISTAKES[name][0]) for name in pair}
    for name, process in running.items():
      _, text = process.communicate()
      found[name] = process.returncode, text, (root / name).exists()
  return found


def _start(workdir, flags):
  command = [sys.executable, "scripts/train.py", f"--workdir={workdir}", *flags]
  return subprocess.Popen(
    command,
    cwd=ROOT,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_one_line_and_writes_nothing(answers, name):
  code, text, written = answers[name]
  assert code == 2, text
  assert MISTAKES[name][1] in text
  assert text.count("\n") == 1, text
  assert not written
