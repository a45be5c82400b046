"""Environments that fail: replaced, counted and told; training goes on."""

import functools
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import toy_envs

from carnet import errors
from carnet.envs import vector

HERE = pathlib.Path(__file__).parent


def _vector(trouble, path, count, processes, **options):
  make = functools.partial(toy_envs.Walk, trouble, path)
  return vector.Vector(make, count, processes=processes, **options)


def _play(envs, steps):
  batches = [envs.reset()]
  count = len(batches[0].reward)
  batches += [envs.step(toy_envs.actions(t, count)) for t in range(steps)]
  return batches


def _ends_before_first(batches):
  """Returns where an episode begins although the one before had not ended."""
  return [
    (t + 1, int(i))
    for t, (before, after) in enumerate(itertools.pairwise(batches))
    for i in np.flatnonzero(after.is_first & ~before.is_last)
  ]


def test_an_environment_that_raises_here_is_made_again(tmp_path, caplog):
  with _vector("raise", tmp_path / "once", 3, 0) as envs:
    batches = _play(envs, 20)
    assert envs.restarts == 1
    ((step, i),) = _ends_before_first(batches)
    assert batches[step].reward[i] == 0
    state = envs.state()
  assert len(caplog.records) == 1
  text = caplog.records[0].getMessage()
  assert text == (
    f"environment {i}: restart 1 of at most 10, with new episodes: "
    "ValueError: lost the way"
  )
  with _vector("", None, 3, 0) as other:  # its history has begun anew as well
    other.load_state(state)
    shown = batches[-1].observation["place"]
    np.testing.assert_array_equal(other.current().observation["place"], shown)
  assert len(caplog.records) == 1


@pytest.mark.parametrize(
  ("trouble", "reason"),
  [
    ("raise", "ValueError: lost the way"),
    ("exit", "the process ended with exit code 7"),
    ("kill", "the process was ended by SIGKILL (out of memory?)"),
    ("hang", "no answer for 1 seconds"),
  ],
)
def test_a_process_that_fails_is_replaced(tmp_path, caplog, trouble, reason):
  options = {"timeout": 1.0} if trouble == "hang" else {}
  with _vector(trouble, tmp_path / "once", 4, 2, **options) as envs:
    batches = _play(envs, 20)
    assert envs.restarts == 1
  assert reason in caplog.records[0].getMessage()
  anew = _ends_before_first(batches)
  assert {t for t, _ in anew} == {anew[0][0]}
  assert {i for _, i in anew} <= {0, 1} or {i for _, i in anew} <= {2, 3}
  assert (
    caplog.records[0]
    .getMessage()
    .startswith(f"environments {'0-1' if anew[0][1] < 2 else '2-3'}: restart 1")
  )


@pytest.mark.parametrize("processes", [0, 1])
def test_too_many_failures_end_it_with_the_trace(processes):
  with _vector("raise", None, 1, processes, max_restarts=1) as envs:
    with pytest.raises(errors.UserError, match="max_restarts=1") as caught:
      _play(envs, 100)
    assert "lost the way" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "_act_up" in caught.value.__notes__[0]
    assert envs.restarts == 1


@pytest.mark.parametrize("processes", [0, 1])
def test_a_user_error_is_passed_on_and_the_state_before_it_kept(processes):
  with _vector("user", None, 3, processes) as envs:
    with pytest.raises(errors.UserError, match=r"^mend me$"):
      _play(envs, 100)
    assert envs.restarts == 0
    state = envs.state()
    assert max(state.facts["lengths"]) == 2
    with pytest.raises(RuntimeError, match="a step failed"):
      envs.current()
    envs.load_state(state)
    envs.current()


@pytest.mark.parametrize(
  ("trouble", "key"), [("nan reward", "reward"), ("nan place", "place")]
)
def test_a_nan_is_named(trouble, key):
  with (
    _vector(trouble, None, 2, 0) as envs,
    pytest.raises(errors.UserError) as caught,
  ):
    _play(envs, 100)
  message = str(caught.value)
  assert message.startswith("environment ")
  assert f"step 3: '{key}' holds a NaN" in message
  assert ", episode " in message


def test_an_environment_that_shows_other_arrays_is_refused():
  class Wrong(toy_envs.Walk):
    def observe(self):
      return {"place": np.zeros(1), "image": np.zeros((4, 4, 1), np.uint8)}

  with (
    vector.Vector(Wrong, 1) as envs,
    pytest.raises(errors.UserError, match=r"'place' as float64 \[1\]"),
  ):
    envs.reset()


def test_a_shape_that_would_spread_is_refused_within_an_episode():
  with (
    _vector("short place", None, 2, 0) as envs,
    pytest.raises(errors.UserError, match=r"'place' as float32 \[1\]"),
  ):
    _play(envs, 100)


def test_an_episode_that_does_not_replay_begins_anew(caplog):
  class Short(toy_envs.Walk):
    def step(self, action, observe=True):
      raise ValueError("over")

  with vector.Vector(toy_envs.Walk, 2) as envs:
    batches = _play(envs, 20)
    while batches[-1].is_first.any():
      batches.append(envs.step(toy_envs.actions(0, 2)))
    state = envs.state()
  with vector.Vector(Short, 2) as other:
    other.load_state(state)
    assert other.restarts == 2
    assert other.current().is_first.all()
    assert other.state().facts["lengths"] == [0, 0]
    episodes = [number + 1 for number in state.facts["episodes"]]
    assert other.state().facts["episodes"] == episodes


_PARENT = f"""
import sys, time
sys.path.insert(0, {str(HERE)!r})
import toy_envs
from carnet.envs import vector
if __name__ == "__main__":
  envs = vector.Vector(toy_envs.Walk, 2, processes=2)
  envs.reset()
  print(*(w._process.pid for w in envs._backend._workers), flush=True)
  for t in range(10**9):
    envs.step(toy_envs.actions(t, 2))
    time.sleep(0.01)
"""


def _wait_for_end(pid):
  until = time.monotonic() + 20
  while time.monotonic() < until:
    try:
      state = pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
      return True
    if state == "Z":
      return True
    time.sleep(0.02)
  return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_outlive_signals_but_not_their_parent():
  with subprocess.Popen(
    [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True
  ) as parent:
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    for pid in pids:
      os.kill(pid, signal.SIGINT)
      os.kill(pid, signal.SIGTERM)
      modules = pathlib.Path(f"/proc/{pid}/maps").read_text()
      assert "jaxlib" not in modules
    time.sleep(0.2)
    assert all(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
    parent.kill()
    assert all([_wait_for_end(pid) for pid in pids])
