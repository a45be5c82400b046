"""The scripted experts succeed on MuJoCo 3, and repeatably."""

import dataclasses

import numpy as np
import pytest

from carnet import envs
from carnet.envs import aloha_experts, aloha_scene

TASKS = aloha_scene.TASKS


def test_waypoints_are_met_and_mixed_linearly_between():
  objects = aloha_scene.sample_objects("transfer_cube", 0)
  plan = aloha_experts._plan("transfer_cube", objects)
  assert plan.shape == (400, 2, 8)
  right = plan[:, 1]
  above = objects[:3] + np.array([0, 0, 0.08])
  np.testing.assert_allclose(right[90, :3], above)
  np.testing.assert_allclose(
    right[45, :3], (np.array(aloha_scene.REST_HANDS[1]) + above) / 2
  )
  # Grasping, from open at 130 to closed at 170; half way at 150.
  np.testing.assert_allclose(right[[130, 150, 170], 7], [1, 0.5, 0])
  # 60 degrees downwards: w = cos 30, y = -sin 30.
  np.testing.assert_allclose(right[130, 3:7], [0.8660254, 0, -0.5, 0])


@pytest.mark.parametrize("task", TASKS)
def test_a_demonstration_is_what_the_environment_replays(task):
  one = aloha_experts.demonstrate(f"aloha/{task}", 2)
  assert one.success
  assert one.held
  assert one.seed == 2
  assert one.actions.shape == one.qpos.shape == one.qvel.shape == (400, 14)
  env = envs.make(f"aloha/{task}", renderer="raycast", height=8, width=8)
  step = env.reset(2)
  for t, action in enumerate(one.actions):
    if t % 50 == 0:
      np.testing.assert_array_equal(step.observation["qpos"], one.qpos[t])
      np.testing.assert_array_equal(step.observation["qvel"], one.qvel[t])
    step = env.step(action, observe=t % 50 == 49)
    assert step.reward == one.rewards[t]


def test_grippers_are_commanded_and_joints_are_measured():
  one = aloha_experts.demonstrate("transfer_cube", 2)
  # At rest at first; the right gripper is told to close from 130 on.
  np.testing.assert_allclose(one.actions[0, [6, 13]], 0)
  np.testing.assert_allclose(one.actions[[131, 151, 171], 13], [1, 0.5, 0])
  np.testing.assert_allclose(
    one.actions[0, :6], aloha_scene.START_POSE[:6], atol=1e-6
  )


def test_the_same_seed_gives_the_same_demonstration():
  one, other = (aloha_experts.demonstrate("insertion", 4) for _ in range(2))
  for field in dataclasses.fields(one):
    np.testing.assert_array_equal(
      getattr(one, field.name), getattr(other, field.name)
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_succeeds_on_a_few_seeds(task):
  demonstrations = [aloha_experts.demonstrate(task, s) for s in (7, 1007, 1050)]
  assert all(one.held for one in demonstrations)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("first", [0, 1000])
def test_the_expert_succeeds_on_95_of_100_seeds(task, first):
  demonstrations = [
    aloha_experts.demonstrate(task, seed) for seed in range(first, first + 100)
  ]
  assert sum(one.success for one in demonstrations) >= 95
  assert sum(one.held for one in demonstrations) >= 95
