"""What a DreamerV3 checkpoint says of the run that made it."""

import importlib.metadata
import shutil

import tiny_loop

from carnet import run_context, run_log
from dreamer import launch, train


def _read(workdir):
  step = tiny_loop.steps(workdir)[-1]
  return run_context.read(workdir / f"checkpoints/{step:09d}")


def test_the_environment_is_what_a_run_learns_from(cartpole_run):
  found = _read(cartpole_run)
  assert found.captured_at_launch
  (task,) = found.datasets
  assert (task.id, task.kind) == ("gym:CartPole-v1", "environment")
  assert task.revision is None
  assert task.env_versions["gymnasium"] == (
    importlib.metadata.version("gymnasium")
  )
  assert task.loader_class == "dreamer.environment.make"
  assert task.split["seed"] == 0
  assert task.split["repeat"] == 1
  assert (found.model.class_module, found.model.class_name) == (
    *("dreamer.agent", "Agent"),
  )
  assert found.pretrained == ()
  assert found.resumptions == ()


def test_a_resumption_is_added_and_the_run_stays_the_same(
  cartpole_run, tmp_path
):
  shutil.copytree(cartpole_run, tmp_path / "run")
  config = tiny_loop.cartpole()
  config.total_steps = 162
  train.train(config, tmp_path / "run")
  before, after = _read(cartpole_run), _read(tmp_path / "run")
  assert [x.step for x in after.resumptions] == [160]
  assert after.model_copy(update={"resumptions": ()}) == before


def test_the_log_has_episodes_and_means(cartpole_run):
  step = tiny_loop.steps(cartpole_run)[-1]
  path = cartpole_run / f"checkpoints/{step:09d}" / run_log.NAME
  page = path.read_text()
  assert "## Episodes of the training policy\n" in page
  assert "| step | return | length |" in page
  assert "| step | opt/loss | opt/grad_norm |" in page
  assert f"\n| {step} |" in page


def test_the_compiled_loop_carries_them_too(catch_run):
  found = _read(catch_run)
  (task,) = found.datasets
  assert task.loader_class == "carnet.envs.functional.make"
  assert {"carnet", "jax"} <= task.env_versions.keys()
  step = tiny_loop.steps(catch_run)[-1]
  page = (catch_run / f"checkpoints/{step:09d}" / run_log.NAME).read_text()
  assert "## Evaluation\n" in page


def test_options_of_the_task_are_recorded_and_its_packages():
  (task,) = launch.capture(tiny_loop.walker()).datasets
  assert task.split["repeat"] == 2
  assert {"dm_control", "mujoco"} <= task.env_versions.keys()
