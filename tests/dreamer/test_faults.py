"""What goes wrong while training, in one line each or without an end."""

import pytest
import tiny_loop
import toy_gym

from carnet import errors
from dreamer import train


def _config(fault, **loop):
  config = tiny_loop.cartpole()
  config.environment.name = f"gym:{toy_gym.__name__}:{fault}-v0"
  config.total_steps = 40
  config.loop.train_ratio = 0.0
  config.loop.update(**loop)
  return config


@pytest.mark.parametrize(
  ("fault", "key"), [("Reward", "reward"), ("Observation", "observation")]
)
def test_a_nan_is_told_with_its_place(tmp_path, fault, key):
  with pytest.raises(errors.UserError) as caught:
    train.train(_config(fault), tmp_path)
  assert str(caught.value) == (
    f"environment 0, episode 0, step 5: '{key}' holds a NaN or an infinity"
  )
  assert tiny_loop.steps(tmp_path) == [0]


def test_a_process_that_dies_is_replaced_and_counted(
  tmp_path, monkeypatch, caplog
):
  monkeypatch.setenv("TOY_GYM_DIED", str(tmp_path / "died"))
  train.train(_config("Dies", processes=1), tmp_path / "run")
  assert (tmp_path / "died").exists()
  assert "the process ended with exit code 7" in caplog.text
  lines = tiny_loop.lines(tmp_path / "run")
  assert lines[-1]["env/restarts"] == 1
  assert lines[-1]["replay/steps"] == 40
  ended = [x for x in lines if "episode/return" in x]
  # 40 steps: 5 lost ones, an episode of 11 (the first one shown), its like
  assert [x["episode/return"] for x in ended] == [10.0] * 2


def test_too_many_restarts_stop_the_run(tmp_path, monkeypatch):
  monkeypatch.setenv("TOY_GYM_DIED", str(tmp_path / "died"))
  config = _config("Dies", processes=1, max_restarts=0)
  with pytest.raises(errors.UserError, match="max_restarts=0 allows: the proc"):
    train.train(config, tmp_path / "run")


def test_a_workdir_that_cannot_be_written(tmp_path):
  file = tmp_path / "file"
  file.write_text("")
  config = tiny_loop.cartpole()
  for place in (file, file / "run"):
    with pytest.raises(errors.UserError, match="file") as caught:
      train.train(config, place)
    assert "\n" not in str(caught.value)
  config = tiny_loop.catch()
  with pytest.raises(errors.UserError, match="file"):
    train.train(config, file)


def test_too_few_devices_are_told(tmp_path):
  config = tiny_loop.cartpole()
  config.devices = 99
  with pytest.raises(errors.UserError, match="99"):
    train.train(config, tmp_path / "run")
