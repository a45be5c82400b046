"""The suite behind our protocol, against dm_control itself."""

import concurrent.futures
import os
import subprocess
import sys

import numpy as np
import pytest

from carnet import envs, errors
from carnet.envs import contract, dmc

# scalars, matrices, models changed at reset, sensors, a domain of three words
TASKS = {
  "walker_walk": ("walker", "walk"),
  "cup_catch": ("ball_in_cup", "catch"),
  "ball_in_cup_catch": ("ball_in_cup", "catch"),
  "point_mass_hard": ("point_mass", "hard"),
  "finger_turn_hard": ("finger", "turn_hard"),
  "quadruped_run": ("quadruped", "run"),
  "stacker_stack_2": ("stacker", "stack_2"),
}


def original(domain, task, seed):
  from dm_control import suite

  random = np.random.RandomState(seed)
  return suite.load(domain, task, task_kwargs={"random": random})


def actions_of(env, steps):
  return contract.random_actions(env, steps, seed=1)


@pytest.mark.parametrize("task", TASKS)
def test_same_observations_and_rewards_as_the_suite(task):
  env = envs.make(f"dmc/{task}")
  theirs = original(*TASKS[task], seed=7)
  env.reset(3)
  step, expected = env.reset(7), theirs.reset()
  assert env.control_hz == pytest.approx(1 / theirs.control_timestep())
  for action in actions_of(env, 30):
    assert set(step.observation) == set(expected.observation)
    for name, value in expected.observation.items():
      np.testing.assert_array_equal(
        step.observation[name], np.asarray(value, np.float32)
      )
    step, expected = env.step(action), theirs.step(action)
    assert step.reward == expected.reward


@pytest.mark.parametrize(
  "task", ["reacher_easy", "quadruped_escape", "lqr_lqr_6_2", "dog_run"]
)
def test_obeys_the_protocol(task):
  env = envs.make(f"dmc/{task}")
  actions = actions_of(env, 5)
  env.close()
  contract.check(lambda: envs.make(f"dmc/{task}"), actions)


def test_names_are_the_whole_suite_and_the_references_shorthand():
  from dm_control import suite

  known = dmc.names()
  assert set(known.values()) == set(suite.ALL_TASKS)
  assert len(known) == len(suite.ALL_TASKS) + 1
  assert known["cup_catch"] == known["ball_in_cup_catch"]
  assert known["humanoid_CMU_run"] == ("humanoid_CMU", "run")


def test_the_step_limit_is_last_but_not_terminal():
  env = envs.make("dmc/pendulum_swingup")
  env.reset(0)
  steps = [
    env.step(np.zeros(1, np.float32), observe=False) for _ in range(1000)
  ]
  assert [s.is_last for s in steps] == [False] * 999 + [True]
  assert not steps[-1].is_terminal
  with pytest.raises(RuntimeError, match="reset"):
    env.step(np.zeros(1, np.float32))


def test_discount_0_is_terminal():
  env = envs.make("dmc/pendulum_swingup")
  env.reset(0)
  env._env.task.get_termination = lambda physics: 0.0
  step = env.step(np.zeros(1, np.float32))
  assert (step.is_last, step.is_terminal) == (True, True)


def test_draws_nothing_unless_asked(monkeypatch):
  from dm_control.mujoco import engine

  def fail(*_, **__):
    raise AssertionError("it draws")

  monkeypatch.setattr(engine.Physics, "_make_rendering_contexts", fail)
  env = envs.make("dmc/walker_walk")
  assert set(env.reset(0).observation) == {"orientations", "height", "velocity"}
  env.step(np.zeros(6, np.float32))
  with pytest.raises(errors.UserError, match="libegl1"):
    env.render()
  with pytest.raises(errors.UserError, match="libegl1"):
    envs.make("dmc/walker_walk", pixels=True)


@pytest.mark.parametrize(
  ("domain", "camera"), [("walker", 0), ("quadruped", 2)]
)
def test_pixels_are_those_of_the_suite_from_the_references_camera(
  domain, camera
):
  env = envs.make(f"dmc/{domain}_walk", pixels=True)
  theirs = original(domain, "walk", seed=5)
  step = env.reset(5)
  theirs.reset()
  for action in actions_of(env, 2):
    picture = theirs.physics.render(64, 64, camera_id=camera)
    np.testing.assert_array_equal(step.observation.pop("image"), picture)
    assert not step.observation
    step = env.step(action)
    theirs.step(action)
  theirs.physics.free()
  env.close()


def test_pixels_obey_the_protocol():
  options = {"pixels": True, "image_size": 32, "shadows": False}
  contract.check(
    lambda: envs.make("dmc/reacher_hard", **options),
    np.ones((3, 2), np.float32),
  )


def test_without_shadows_other_pixels_of_the_same_scene():
  pictures = []
  for shadows in (True, False):
    env = envs.make("dmc/walker_walk", pixels=True, shadows=shadows)
    pictures.append(env.reset(0).observation["image"].astype(float))
    env.close()
  difference = np.abs(pictures[0] - pictures[1])
  assert 0.5 < difference.mean() < 30


def test_films_from_any_camera_at_their_own_size():
  env = envs.make("dmc/walker_walk", render_size=700)
  env.reset(0)
  side, back = env.render("side"), env.render("back")
  assert side.shape == (700, 700, 3)
  assert np.array_equal(env.render(), side)
  assert np.array_equal(env.render("1"), back)
  assert np.any(side != back)
  with pytest.raises(errors.UserError, match="did you mean 'side'"):
    env.render("sid")
  env.close()


def test_environments_draw_from_any_thread():
  made = [
    envs.make("dmc/cartpole_swingup", pixels=True, shadows=False)
    for _ in range(2)
  ]
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    first = list(pool.map(lambda env: env.reset(0).observation["image"], made))
    again = list(pool.map(lambda env: env.observe()["image"], made[::-1]))
  for picture in (*first, *again, made[0].observe()["image"]):
    np.testing.assert_array_equal(picture, first[0])
  del made  # contexts are freed by whoever drops them


PROGRAM = """
import sys
from carnet import envs, errors
simulators = {"mujoco", "dm_control", "crafter", "ale_py"}
assert not simulators & set(sys.modules), "importing envs imports no simulator"
print(sorted(envs.make("dmc/walker_walk").reset(0).observation))
try:
  env = envs.make("dmc/walker_walk", pixels=True)
  print(env.reset(0).observation["image"].any())
except errors.UserError as error:
  print("UserError:", error)
"""


@pytest.mark.parametrize(
  ("variables", "last"),
  [
    ({}, "True"),
    ({"MUJOCO_EGL_DEVICE_ID": "99"}, "UserError: drawing found no"),
  ],
)
def test_with_and_without_opengl_it_ends_silently(variables, last):
  dropped = ("DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM")
  kept = {k: v for k, v in os.environ.items() if k not in dropped}
  result = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    env=kept | variables,
    capture_output=True,
    text=True,
    timeout=100,
  )
  assert result.stderr == ""
  first, second = result.stdout.splitlines()
  assert first == "['height', 'orientations', 'velocity']"
  assert second.startswith(last)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("dmc/waker_walk", {}, "did you mean 'dmc/walker_walk'"),
    ("walker_walk", {}, "did you mean 'dmc/walker_walk'"),
    ("dmc/walker_walk", {"pixel": True}, "did you mean 'pixels'"),
    ("dmc/walker_walk", {"image_size": 0}, "image_size=0"),
    ("dmc/walker_walk", {"pixels": True, "camera": "sid"}, "camera 'sid'"),
  ],
)
def test_mistakes_are_one_line(name, options, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    envs.make(name, **options)
  assert "\n" not in str(caught.value)


def test_an_action_that_is_no_number_is_named():
  env = envs.make("dmc/reacher_easy")
  env.reset(0)
  with pytest.raises(errors.UserError, match="NaN"):
    env.step(np.array([0, np.nan], np.float32))
