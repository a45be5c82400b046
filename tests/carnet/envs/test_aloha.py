"""The environment against gym_aloha itself, its options and its threads."""

import concurrent.futures

import numpy as np
import pytest

from carnet import envs, errors
from carnet.envs import aloha, aloha_scene

# gym_aloha opens its assets through dm_control, whose import warns.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TASKS = aloha_scene.TASKS
SMALL = {"renderer": "raycast", "height": 24, "width": 32}
REST = np.array([0, -0.96, 1.16, 0, -0.3, 0, 0.1] * 2)


@pytest.fixture(scope="module")
def originals():
  """gym_aloha's environments, whose pictures (170 ms a step) are left out."""
  from dm_control.mujoco import engine
  from gym_aloha import env as original

  patch = pytest.MonkeyPatch()
  patch.setattr(
    engine.Physics, "render", lambda *_, **__: np.zeros((480, 640, 3), "u1")
  )
  yield {t: original.AlohaEnv(t, obs_type="pixels_agent_pos") for t in TASKS}
  patch.undo()


def swing(seed: int, steps: int) -> np.ndarray:
  """Joint targets that swing through the table and beyond the limits."""
  random = np.random.default_rng(seed)
  phase = random.uniform(0, 6, 14)
  size = random.uniform(0.1, 1.5, 14)
  time = np.arange(steps)[:, None] / random.uniform(5, 30, 14)
  return REST + size * np.sin(time + phase)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", [0, 1, 7, 123])
def test_same_state_and_reward_as_gym_aloha(originals, task, seed):
  original, env = originals[task], envs.make(f"aloha/{task}", **SMALL)
  observation, _ = original.reset(seed=seed)
  step = env.reset(seed)
  theirs = original._env.physics.data
  for action in swing(seed, 60):
    np.testing.assert_array_equal(env.data.qpos, theirs.qpos)
    np.testing.assert_array_equal(env.data.qvel, theirs.qvel)
    assert step.observation is not None
    np.testing.assert_array_equal(
      step.observation["qpos"], observation["agent_pos"].astype(np.float32)
    )
    observation, reward, *_ = original.step(action)
    step = env.step(action)
    assert step.reward == reward
  expected = original._env.task.get_qvel(original._env.physics)
  np.testing.assert_array_equal(
    env.observe()["qvel"], expected.astype(np.float32)
  )
