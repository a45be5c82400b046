"""The programs in docs/envs.md run, and do what they say."""

import pathlib
import re

import gymnasium
import pytest

from carnet import envs
from carnet.envs import contract

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "envs.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


def run(program):
  names: dict = {}
  exec(compile(program, str(DOCS), "exec"), names)
  return names


@pytest.fixture
def registry():
  yield gymnasium.registry
  gymnasium.registry.pop("mine/Reach-v0", None)


def test_ten_lines_are_an_environment_of_ones_own(registry):
  (program,) = (p for p in PROGRAMS if "mine/Reach-v0" in p)
  body = program.split("\n\n\n", 1)[1].strip().splitlines()
  lines = [line for line in body if line]
  assert len(lines) == 11  # ten, and the one that makes it
  env = run(program)["env"]
  assert "mine/Reach-v0" in registry
  actions = contract.random_actions(env, 60)
  contract.check(lambda: envs.make("gym:mine/Reach-v0"), actions)
  env.reset(0)
  steps = [env.step(2) for _ in range(50)]
  assert (steps[-1].is_last, steps[-1].is_terminal) == (True, False)
  assert steps[-1].reward == 1


def test_the_other_programs_run(capsys):
  others = [p for p in PROGRAMS if "mine/Reach-v0" not in p]
  assert len(others) == 4
  for program in others:
    run(program)
  printed = capsys.readouterr().out.splitlines()
  assert len(printed) == 3
  for line in printed:
    assert f"# {line}\n" in "".join(others)
