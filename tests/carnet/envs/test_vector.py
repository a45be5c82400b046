"""Vectors of environments: what they show, and that they resume exactly."""

import functools
import multiprocessing

import numpy as np
import pytest
import toy_envs

from carnet import checkpoint, errors
from carnet.checkpoint import chunks
from carnet.envs import base, vector

COUNT = 5
FLAGS = ("reward", "is_first", "is_last", "is_terminal")


def _vector(processes=0, count=COUNT, **options):
  return vector.Vector(toy_envs.Walk, count, processes=processes, **options)


def _play(envs, start, stop):
  return [envs.step(toy_envs.actions(t, COUNT)) for t in range(start, stop)]


def _assert_equal(one, other):
  for name in FLAGS:
    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
  assert one.observation.keys() == other.observation.keys()
  for name, array in one.observation.items():
    assert array.dtype == other.observation[name].dtype
    np.testing.assert_array_equal(array, other.observation[name])


def _expected(i, stop, seed=0):
  """Plays environment i alone, as the documentation says."""
  env, episode, steps = toy_envs.Walk(), -1, []
  for t in range(stop + 1):
    if not steps or steps[-1].is_last:
      episode += 1
      sequence = np.random.SeedSequence((seed, i, episode))
      steps.append(env.reset(int(sequence.generate_state(1)[0])))
    else:
      action = {k: a[i] for k, a in toy_envs.actions(t - 1, COUNT).items()}
      steps.append(env.step(action))
  return steps


def test_each_environment_plays_the_episodes_of_its_seeds():
  with _vector(seed=3) as envs:
    batches = [envs.reset(), *_play(envs, 0, 40)]
  assert sum(batch.is_last.sum() for batch in batches) > COUNT
  for i in range(COUNT):
    for batch, step in zip(batches, _expected(i, 40, seed=3), strict=True):
      assert batch.reward[i] == np.float32(step.reward)
      assert batch.is_first[i] == step.is_first
      assert batch.is_last[i] == step.is_last
      assert batch.is_terminal[i] == step.is_terminal
      for name, array in step.observation.items():
        np.testing.assert_array_equal(batch.observation[name][i], array)


def test_a_batch_is_not_changed_by_the_next_step():
  with _vector() as envs:
    first = envs.reset()
    place = first.observation["place"].copy()
    assert not np.array_equal(_play(envs, 0, 1)[0].observation["place"], place)
    np.testing.assert_array_equal(first.observation["place"], place)


def test_processes_show_the_same_resume_the_same_and_end(tmp_path):
  """Two processes, unevenly shared; one pair of them does it all."""
  before = set(multiprocessing.active_children())
  with _vector(seed=1) as here, _vector(2, seed=1) as there:
    assert there.action_space == here.action_space
    assert there.observation_space == here.observation_space
    assert there.control_hz == 10.0
    _assert_equal(here.reset(), there.reset())
    for one, other in zip(_play(here, 0, 30), _play(there, 0, 30), strict=True):
      _assert_equal(one, other)
    assert there.state().facts == here.state().facts
    saved, shown = here.state(), here.current()
    expected = _play(here, 30, 50)
    there.load_state(saved)
    _assert_equal(there.current(), shown)
    for one, other in zip(expected, _play(there, 30, 50), strict=True):
      _assert_equal(one, other)
    assert there.restarts == 0
    assert len(set(multiprocessing.active_children()) - before) == 2
  assert not set(multiprocessing.active_children()) - before


@pytest.mark.parametrize("stop", [0, 1, 2, 3, 7, 33])
def test_it_goes_on_from_a_checkpoint_as_if_never_stopped(tmp_path, stop):
  with _vector() as envs, checkpoint.Checkpoint(tmp_path) as saved:
    saved.register("envs", envs)
    shown = [envs.reset(), *_play(envs, 0, stop)][-1]
    saved.save(stop)
    expected = _play(envs, stop, stop + 20)
  with _vector() as envs, checkpoint.Checkpoint(tmp_path) as saved:
    saved.register("envs", envs)
    assert saved.load_or_save() == stop
    _assert_equal(envs.current(), shown)
    for one, other in zip(expected, _play(envs, stop, stop + 20), strict=True):
      _assert_equal(one, other)


def test_ends_of_episodes_are_among_the_resumed_states():
  ends = 0
  with _vector() as envs, _vector() as other:
    envs.reset()
    for t in range(25):
      batch = _play(envs, t, t + 1)[0]
      ends += batch.is_last.sum()
      other.load_state(envs.state())
      _assert_equal(other.current(), batch)
  assert ends > 5


def test_the_state_is_as_long_as_the_episodes():
  with _vector() as envs:
    envs.reset()
    for t in range(200):
      batch = _play(envs, t, t + 1)[0]
      lengths = envs.state().facts["lengths"]
      assert [n == 0 for n in lengths] == batch.is_first.tolist()
    (chunk,) = envs.state().chunks
    assert chunk.arrays["push"].shape == (sum(lengths), 2)
    assert len(envs._history._steps) < 100


def test_before_the_first_step_there_is_a_state_too():
  with _vector() as envs, _vector() as other:
    other.reset()
    other.load_state(envs.state())
    with pytest.raises(RuntimeError, match="reset"):
      _play(other, 0, 1)
    _assert_equal(other.current(), envs.reset())
    _assert_equal(_play(other, 0, 1)[0], _play(envs, 0, 1)[0])


def test_states_of_others_are_refused_by_name():
  with _vector() as envs:
    envs.reset()
    _play(envs, 0, 9)
    state = envs.state()
    for options, name in (
      ({"count": 4}, "number of environments was 5"),
      ({"seed": 1}, "seed of the environments was 0"),
    ):
      with (
        _vector(**options) as other,
        pytest.raises(errors.UserError, match=name),
      ):
        other.load_state(state)
    (chunk,) = state.chunks
    for arrays, facts, name in (
      ({"push": chunk.arrays["push"]}, {}, "turn"),
      (dict(chunk.arrays) | {"turn": np.zeros(3, np.int32)}, {}, "'turn' are"),
      (dict(chunk.arrays) | {"push": np.zeros((3, 2))}, {}, "'push' are float"),
      (chunk.arrays, {"lengths": [-1, 2]}, "counts"),
      (chunk.arrays, {"lengths": [1, 2]}, "different lengths"),
      (chunk.arrays, {"episodes": [0.5] * 5}, "counts"),
      (chunk.arrays, {"episodes": [-1, 0, 0, 0, 0]}, "begun"),
      (chunk.arrays, {"episodes": None}, "not the state"),
      (chunk.arrays, {"version": 2}, "format 2"),
      (chunk.arrays, {"spaces": 3}, "not the state"),
    ):
      other = chunks.Chunked([chunks.Chunk(arrays)], state.facts | facts)
      with pytest.raises(errors.UserError, match=name):
        envs.load_state(other)
    with pytest.raises(errors.UserError, match="not the state"):
      envs.load_state({"garbage": 1})
    _play(envs, 9, 10)  # a state that is refused changes nothing


def test_a_changed_space_is_refused_by_name():
  class Wider(toy_envs.Walk):
    action_space = toy_envs.Walk.action_space | {
      "turn": base.Space((), "int32")
    }

  with (
    _vector() as envs,
    vector.Vector(Wider, COUNT) as other,
    pytest.raises(errors.UserError, match="action 'turn' was int32"),
  ):
    other.load_state(envs.state())


def test_actions_that_do_not_fit_are_refused_before_anything_moves():
  good = toy_envs.actions(0, COUNT)
  with _vector() as envs:
    shown = envs.reset()
    for change, name in (
      ({"push": good["push"][:4]}, "'push' are float32"),
      ({"turn": good["turn"].astype(np.float32)}, "'turn' are float32"),
      ({"turn": np.full(COUNT, 3)}, "3 classes"),
      ({"push": np.full((COUNT, 2), np.nan)}, "diverged"),
      ({"more": good["turn"]}, "push, turn"),
    ):
      with pytest.raises(errors.UserError, match=name):
        envs.step(good | change)
    with pytest.raises(errors.UserError, match="push, turn"):
      envs.step(good["push"])
    _assert_equal(envs.current(), shown)


def test_another_world_after_a_restart_is_pointed_out(caplog):
  class Other(toy_envs.Walk):
    def observe(self):
      shown = super().observe()
      return shown | {"place": shown["place"] + np.float32(1)}

  with _vector() as envs, vector.Vector(Other, COUNT) as other:
    envs.reset()
    other.load_state(envs.state())
    assert "environment 4 shows something else" in caplog.text


@pytest.mark.parametrize("processes", [0, 1])
def test_what_cannot_be_made_is_an_error_at_once(processes):
  make = functools.partial(toy_envs.Walk, "make")
  with pytest.raises(errors.UserError, match="ValueError: no road") as caught:
    vector.Vector(make, 2, processes=processes)
  assert "Traceback" in "".join(
    getattr(caught.value, "__notes__", ["Traceback"])
  )
  assert not multiprocessing.active_children()


def test_what_cannot_be_pickled_is_named():
  with pytest.raises(errors.UserError, match="function of a module"):
    vector.Vector(lambda: toy_envs.Walk(), 2, processes=1)


@pytest.mark.parametrize(
  "wrong", [{"count": 0}, {"processes": -1}, {"seed": -1}, {"timeout": 0.0}]
)
def test_numbers_out_of_range_are_refused(wrong):
  with pytest.raises(errors.UserError, match=next(iter(wrong))):
    _vector(**wrong)
