"""All in one program on Catch: what it counts, saves, resumes and refuses."""

import av
import pytest
import tiny_loop

from carnet import errors
from dreamer import train


def test_updates_and_metrics_by_arithmetic(catch_run):
  assert tiny_loop.steps(catch_run) == [192, 288]
  # 6 dispatches of 48 steps, of which the last 5 have 3 updates each
  assert tiny_loop.value(catch_run, "agent/step") == 15
  assert tiny_loop.value(catch_run, "loop/env_steps") == 72
  facts = tiny_loop.stored(catch_run)["replay/state"]
  assert (facts["steps"], facts["position"]) == (
    20,
    12,
  )  # 72 steps, three times around
  means = [x for x in tiny_loop.lines(catch_run) if "replay/steps" in x]
  assert [x["step"] for x in means] == [96, 144, 192, 288]
  assert [x["replay/steps"] for x in means] == [80, 80, 80, 80]
  assert all(-1 <= x["episode/return"] <= 1 for x in means)
  assert all(x["train/opt/loss"] > 0 for x in means)


def test_it_evaluates_and_films_on_schedule(catch_run):
  found = [x for x in tiny_loop.lines(catch_run) if "openloop/image" in x]
  assert [x["step"] for x in found] == [144, 288]
  for line in found:
    assert line["evaluation/lowest_return"] >= -1
    assert line["evaluation/lowest_return"] <= line["evaluation/mean_return"]
    assert 0 < line["openloop/image"] < 1
  names = sorted(x.name for x in (catch_run / "videos").iterdir())
  assert names == [f"openloop_image_{step:09d}.mp4" for step in (144, 288)]
  with av.open(str(catch_run / "videos" / names[0])) as film:
    frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
  # 8 steps; three rows of pictures of 16 pixels with borders of 2, two columns,
  # each pixel as 4 x 4
  assert [x.shape for x in frames] == [(240, 160, 3)] * 8


def test_stopped_and_resumed_is_bit_equal(catch_run, tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    tiny_loop.stop_at(patch, 240)
    with pytest.raises(errors.Interrupted, match="saved step 240"):
      train.train(tiny_loop.catch(), tmp_path)
  train.train(tiny_loop.catch(), tmp_path)
  assert tiny_loop.stored(tmp_path) == tiny_loop.stored(catch_run)


def test_updates_must_come_out_even(tmp_path):
  config = tiny_loop.catch()
  config.loop.train_ratio = 1.25
  with pytest.raises(errors.UserError, match=r"gives 3\.75 updates after 48"):
    train.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("task", "message"),
  [
    ("gym:CartPole-v1", "unknown environment written in JAX 'gym:CartPole-v1'"),
    ("catsh", "did you mean 'catch'"),
    ("gymnax:Catch-bsuite", "pip install gymnax"),
  ],
)
def test_only_tasks_in_jax(tmp_path, task, message):
  config = tiny_loop.catch()
  config.environment.name = task
  with pytest.raises(errors.UserError, match=message):
    train.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()
