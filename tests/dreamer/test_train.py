"""The loop ends with the same everything, however often it is stopped."""

import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tiny_loop

from carnet import checkpoint, errors
from dreamer import train

ROOT = pathlib.Path(__file__).parents[2]


def _start(workdir):
  """Returns a process that trains `tiny_loop.cartpole`."""
  command = [
    sys.executable,
    str(ROOT / "tests/dreamer/train_cartpole.py"),
    str(workdir),
  ]
  return subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
  )


def _kill_at(step, workdir):
  process = _start(workdir)
  deadline = time.monotonic() + 240
  while not (workdir / f"checkpoints/{step:09d}").exists():
    if process.poll() is not None or time.monotonic() > deadline:
      raise AssertionError(f"no step {step}: {process.communicate()}")
    time.sleep(0.001)
  process.send_signal(signal.SIGKILL)
  process.communicate()


def test_killed_twice_and_resumed_is_bit_equal(cartpole_run, tmp_path):
  for step in (40, 120):
    _kill_at(step, tmp_path)
  train.train(tiny_loop.cartpole(), tmp_path)
  assert tiny_loop.stored(tmp_path) == tiny_loop.stored(cartpole_run)
  assert tiny_loop.lines(tmp_path) == tiny_loop.lines(cartpole_run)


def test_every_component_is_compared(cartpole_run):
  """So that the test above proves what it says."""
  kinds = {path.split("/")[0] for path in tiny_loop.stored(cartpole_run)}
  assert kinds == {
    *("agent", "acting", "environments", "replay", "ratio", "episodes")
  }


@pytest.fixture(scope="module")
def terminated(tmp_path_factory):
  """Returns a run that SIGTERM met at step 94, and what it raised."""
  workdir = tmp_path_factory.mktemp("terminated")
  with pytest.MonkeyPatch.context() as patch:
    tiny_loop.stop_at(patch, 94)
    with pytest.raises(errors.Interrupted) as stopped:
      train.train(tiny_loop.cartpole(), workdir)
  return workdir, stopped.value


def test_sigterm_saves_at_once_even_within_episodes(terminated):
  workdir, stopped = terminated
  assert stopped.exit_code == 143
  assert str(stopped) == "SIGTERM: saved step 94"
  assert tiny_loop.steps(workdir) == [80, 94]
  found = tiny_loop.stored(workdir)
  assert max(found["episodes/state"]["lengths"]) > 0
  assert found["episodes/state"]["steps"] == 94


def test_a_run_may_go_on_for_longer(terminated, cartpole_run, tmp_path):
  shutil.copytree(terminated[0], tmp_path / "run")
  config = tiny_loop.cartpole()
  config.total_steps = 180
  train.train(config, tmp_path / "run")
  assert tiny_loop.steps(tmp_path / "run") == [160, 180]
  whole = tiny_loop.stored(cartpole_run)
  assert tiny_loop.stored(tmp_path / "run", 160) == whole
  assert tiny_loop.value(tmp_path / "run", "agent/step") == 1 + 178 - 32


def test_the_number_of_updates_is_that_of_the_ratio(cartpole_run):
  # ratio 16 with batches of 16 steps: one for each of the steps 32 to 158
  assert tiny_loop.value(cartpole_run, "agent/step") == 1 + 158 - 32
  state = tiny_loop.stored(cartpole_run)["ratio/state"]
  assert state == {"ratio": "1", "since": 32, "done": 127, "last": 158}


def test_the_metrics_of_a_run(cartpole_run):
  lines = tiny_loop.lines(cartpole_run)
  means = [x for x in lines if "replay/steps" in x]
  assert [x["step"] for x in means] == [40, 80, 120, 160]
  assert [x["replay/steps"] for x in means] == [40, 80, 120, 160]
  assert all(x["frames"] == x["step"] for x in lines)
  assert all(x["env/restarts"] == 0 for x in means)
  assert all(x["train/opt/loss"] > 0 for x in means)
  ended = [x for x in lines if "episode/return" in x]
  # a CartPole's reward is 1 a step
  assert all(x["episode/return"] == x["episode/length"] for x in ended)
  state = tiny_loop.stored(cartpole_run)["episodes/state"]
  assert len(ended) == state["ended"]
  # each episode has one more step, which shows its first observation
  lengths = sum(x["episode/length"] + 1 for x in ended) + sum(state["lengths"])
  assert lengths == 160


def test_a_finished_run_returns_at_once(cartpole_run):
  before = (cartpole_run / "metrics.jsonl").read_bytes()
  train.train(tiny_loop.cartpole(), cartpole_run)
  assert (cartpole_run / "metrics.jsonl").read_bytes() == before


def test_another_network_is_refused_by_name(cartpole_run):
  config = tiny_loop.cartpole()
  config.rssm.deter = 32
  with pytest.raises(errors.UserError, match=r"with another rssm\.deter:"):
    train.train(config, cartpole_run)
  config = tiny_loop.cartpole()
  config.optimizer.update(schedule="linear", anneal=400)
  config.total_steps = 500
  with pytest.raises(
    errors.UserError, match=r"optimizer\.anneal, opt.*\.schedule, total"
  ):
    train.train(config, cartpole_run)


def test_observations_that_changed_are_refused_by_name(walker_run, tmp_path):
  # an environment that was updated under the name that it had
  spaces = checkpoint.read_json(walker_run, "spaces.json")
  spaces["observations"]["height"]["shape"] = [2]
  del spaces["observations"]["velocity"]
  config = tiny_loop.walker()
  steps = tmp_path / "checkpoints"
  _write(steps, config, spaces)
  before = sorted(steps.rglob("*"))
  with pytest.raises(errors.UserError) as caught:
    train.train(config, tmp_path)
  assert "observation 'height' was float (2,) and is float ()" in str(
    caught.value
  )
  assert "observation 'velocity' was absent and is float (9,)" in str(
    caught.value
  )
  assert sorted(steps.rglob("*")) == before


def _write(directory, config, spaces):
  """Writes a checkpoint that carries these spaces and nothing else."""
  from carnet import config as config_lib

  with checkpoint.Checkpoint(directory, verbose=False) as saved:
    saved.register("ratio", {"done": 0})
    saved.attach("config.json", config_lib.to_json(config))
    saved.attach("spaces.json", spaces)
    saved.save(5)


def test_device_memory_resumes_bit_equal(walker_run, tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    tiny_loop.stop_at(patch, 50, kill=True)
    with pytest.raises(tiny_loop.Killed):
      train.train(tiny_loop.walker(), tmp_path)
  assert tiny_loop.steps(tmp_path) == [20, 40]
  train.train(tiny_loop.walker(), tmp_path)
  assert tiny_loop.stored(tmp_path) == tiny_loop.stored(walker_run)
  assert tiny_loop.lines(tmp_path) == tiny_loop.lines(walker_run)


def test_device_memory_keeps_the_newest_and_frames_count_repeats(walker_run):
  facts = tiny_loop.stored(walker_run)["replay/state"]
  assert (facts["steps"], facts["position"]) == (40, 20)
  means = [x for x in tiny_loop.lines(walker_run) if "replay/steps" in x]
  assert [(x["step"], x["frames"]) for x in means] == [
    *((20, 40), (40, 80), (60, 120))
  ]
  assert means[-1]["replay/steps"] == 40
  # ratio 8 with batches of 16: half an update a step, the first at step 24
  assert tiny_loop.value(walker_run, "agent/step") == 1 + (59 - 24) // 2
