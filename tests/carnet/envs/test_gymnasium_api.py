"""Gymnasium's own checker on our environments."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils import env_checker

from carnet import envs
from carnet.envs import aloha_scene

OPTIONS = {"renderer": "raycast", "height": 24, "width": 32}
IDS = ("carnet/AlohaTransferCube-v0", "carnet/AlohaInsertion-v0")


# It recommends [-1, 1] for every action; ours are joint targets in rad.
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")
@pytest.mark.parametrize("name", IDS)
def test_passes_gymnasiums_checker(name):
  env = gymnasium.make(name, render_mode="rgb_array", **OPTIONS)
  env_checker.check_env(env.unwrapped)


def test_the_module_in_the_id_registers_it():
  program = (
    "import gymnasium, sys;"
    "env = gymnasium.make('carnet.envs:carnet/AlohaInsertion-v0',"
    " renderer='raycast', height=24, width=32);"
    "print(sorted(env.reset(seed=0)[0]))"
  )
  command = [sys.executable, "-W", "error", "-c", program]
  result = subprocess.run(command, capture_output=True, text=True, check=True)
  assert result.stdout.strip() == "['images/top', 'qpos', 'qvel']"


def test_equals_the_environment_it_wraps():
  ours = envs.make("aloha/insertion", max_steps=3, **OPTIONS)
  theirs = gymnasium.make(IDS[1], max_steps=3, **OPTIONS)
  step = ours.reset(7)
  observation, info = theirs.reset(seed=7)
  theirs.action_space.seed(0)
  while True:
    for name, array in observation.items():
      np.testing.assert_array_equal(array, step.observation[name])
    if step.is_last:
      break
    action = theirs.action_space.sample()
    step = ours.step(action)
    observation, reward, terminated, truncated, info = theirs.step(action)
    assert (reward, truncated) == (step.reward, step.is_last)
    assert not terminated
    assert info == {"is_success": False}


def test_actions_span_the_joints():
  space = gymnasium.make(IDS[0], **OPTIONS).action_space
  np.testing.assert_allclose(
    space.low[:7],
    [-3.14158, -1.85005, -1.76278, -3.14158, -1.8675, -3.14158, 0],
  )
  assert space.contains(np.array([0, -1.6, 1.6, 0, 1.6, 0, 1] * 2, np.float32))


def test_without_a_seed_episodes_differ(monkeypatch):
  drawn = []

  def sample(task, seed):
    drawn.append(original(task, seed))
    return drawn[-1]

  original = aloha_scene.sample_objects
  monkeypatch.setattr(aloha_scene, "sample_objects", sample)
  env = gymnasium.make(IDS[0], **OPTIONS)
  env.reset()
  env.reset()
  first, second = drawn
  assert np.any(first != second)
