"""The environment against gym_aloha itself, its options and its threads."""

import concurrent.futures
import hashlib
import subprocess
import sys

import numpy as np
import pytest

from carnet import envs, errors
from carnet.envs import aloha, aloha_experts, aloha_scene, contract

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


@pytest.mark.parametrize("task", TASKS)
def test_a_demonstration_earns_the_same_in_gym_aloha(originals, task):
  original, demonstration = originals[task], aloha_experts.demonstrate(task, 5)
  original.reset(seed=5)
  rewards = [original.step(action)[1] for action in demonstration.actions]
  assert rewards == demonstration.rewards.tolist()
  assert {1, 2, 3, 4} & set(rewards) >= {2, 4}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("renderer", ["raycast", "gl"])
def test_obeys_the_contract(task, renderer):
  options = SMALL | {"renderer": renderer, "cameras": ("top", "angle")}
  contract.check(
    lambda: envs.make(f"aloha/{task}", max_steps=12, **options), swing(3, 20)
  )


def test_the_limit_ends_an_episode_and_is_not_terminal():
  env = envs.make("aloha/insertion", max_steps=2, **SMALL)
  env.reset(0)
  first, second = env.step(REST), env.step(REST)
  assert (first.is_last, second.is_last) == (False, True)
  assert not second.is_terminal


@pytest.mark.parametrize("terminate", [False, True])
def test_success_ends_the_episode_only_when_asked(terminate):
  demonstration = aloha_experts.demonstrate("transfer_cube", 0)
  env = envs.make(
    "aloha/transfer_cube", terminate_on_success=terminate, **SMALL
  )
  env.reset(0, observe=False)
  for action in demonstration.actions:
    step = env.step(action, observe=False)
    if step.is_last:
      break
  assert step.is_terminal == terminate
  assert step.reward == 4


def test_rewards_by_hand():
  left, right = (
    f"vx300s_{side}/10_{side}_gripper_finger" for side in ("left", "right")
  )
  table, box, peg, socket = "table", "red_box", "red_peg", "socket-3"
  cube = aloha.transfer_cube_reward
  assert cube(set()) == 0
  assert cube({(box, right), (box, table)}) == 1
  assert cube({(box, right)}) == 2
  assert cube({(box, left), (box, right), (box, table)}) == 3
  assert cube({(box, left)}) == 4
  insertion = aloha.insertion_reward
  both = {(socket, left), (peg, right)}
  assert insertion({(peg, right)}) == 0
  assert insertion(both | {(peg, table)}) == 1
  assert insertion(both) == 2
  assert insertion({(peg, socket)}) == 3
  assert insertion(both | {(peg, socket), (socket, table)}) == 1
  assert insertion({(peg, "pin"), (peg, table)}) == 4


def test_cameras_are_seen_at_the_size_asked_for():
  cameras = ("angle", "right_wrist")
  env = envs.make("aloha/insertion", cameras=cameras, **SMALL)
  observation = env.reset(1).observation
  assert list(observation) == ["images/angle", "images/right_wrist", *VECTORS]
  assert observation["images/angle"].shape == (24, 32, 3)
  assert np.any(observation["images/angle"] != env.render("top"))


VECTORS = ("qpos", "qvel")


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("aloha/insertoin", {}, "task 'aloha/insertoin': did you mean 'aloha/ins"),
    ("aloha/insertion", {"cameras": ("tap",)}, "'tap': did you mean 'top'"),
    ("aloha/insertion", {"renderer": "raycst"}, "did you mean 'raycast'"),
    ("aloha/insertion", {"camera": "top"}, "did you mean 'cameras'"),
    ("aloha/insertion", {"max_steps": 0}, "max_steps=0"),
    ("aloha/insertion", {"cameras": "top"}, "cameras='top'"),
  ],
)
def test_mistakes_are_named_with_the_nearest_right_word(name, options, message):
  with pytest.raises(errors.UserError, match=message):
    envs.make(name, **options)


def test_an_action_that_is_not_finite_is_named():
  env = envs.make("aloha/insertion", **SMALL)
  env.reset(0)
  with pytest.raises(errors.UserError, match="NaN"):
    env.step(np.full(14, np.nan))


def test_without_the_assets_the_extra_is_named(monkeypatch):
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  aloha_scene._load.cache_clear()
  with pytest.raises(errors.UserError, match=r"carnet\[aloha\]"):
    envs.make("aloha/insertion", **SMALL)


def digest(seed: int, renderer: str = "raycast") -> str:
  """Returns a digest of the states and pictures of a short episode."""
  options = SMALL | {"renderer": renderer}
  env = envs.make("aloha/transfer_cube", **options)
  env.reset(seed, observe=False)
  sum_of_all = hashlib.sha256()
  for index, action in enumerate(swing(seed, 25)):
    env.step(action, observe=False)
    if index % 8 == 0:
      for array in env.observe().values():
        sum_of_all.update(array.tobytes())
  sum_of_all.update(env.data.qpos.tobytes())
  return sum_of_all.hexdigest()


@pytest.mark.parametrize("renderer", ["raycast", "gl"])
def test_threads_compute_what_one_thread_computes(renderer):
  alone = [digest(seed, renderer) for seed in range(6)]
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    together = pool.map(lambda seed: digest(seed, renderer), range(6))
    assert list(together) == alone


OTHER_PROCESS = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("test_aloha", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.digest(3, sys.argv[2]))
"""


@pytest.mark.parametrize("renderer", ["raycast", "gl"])
def test_another_process_computes_the_same_states_and_pictures(renderer):
  command = [sys.executable, "-c", OTHER_PROCESS, __file__, renderer]
  result = subprocess.run(command, capture_output=True, text=True, check=True)
  assert result.stdout.strip() == digest(3, renderer)
  assert result.stderr == ""
