"""Both memories hold the same sequences; latents come back to the host's."""

import jax
import numpy as np
import pytest
import tiny_loop

from carnet import errors, mesh
from dreamer import device_replay, experience, learner, policy, spaces

SPEC = learner.Spec(
  {"observation": spaces.Space((4,))}, {"action": spaces.Space((), 2)}
)
COUNT, LENGTH = 2, 9


def _make(memory):
  config = tiny_loop.cartpole()
  config.replay.memory = memory
  graph, fresh = learner.init_state(config, SPEC)
  devices = mesh.make_mesh(1)
  layout = mesh.state_shardings(devices, fresh, False)
  return experience.make(config, SPEC, graph, devices, layout), fresh


def _add(memory, steps):
  example = policy.example(tiny_loop.cartpole(), SPEC, COUNT)
  for t in range(steps):
    step = {name: np.array(x) for name, x in example.items()}
    step["observation"][:, 0] = np.arange(COUNT)
    step["observation"][:, 1] = t
    step["is_first"][:] = t % 5 == 0
    memory.add(step)


def _starts(found):
  """Returns which sequences (stream, first step) there are; each is whole."""
  seen = np.asarray(found["observation"])
  times = seen[:, :, 1]
  np.testing.assert_array_equal(
    times - times[:, :1], [range(LENGTH)] * len(seen)
  )
  assert (seen[:, :, 0] == seen[:, :1, 0]).all()
  return {(int(x[0, 0]), int(x[0, 1])) for x in seen}


def test_both_memories_sample_the_same_sequences():
  host, _ = _make("host")
  device, _ = _make("device")
  for each in (host, device):
    _add(each, 14)
    assert each.steps == 28
    assert each.sequences() == 12
  replay = device._buffer.replay
  sample = jax.jit(device_replay.sample, static_argnums=(1, 2))
  drawn = [sample(replay, 40, LENGTH, jax.random.key(i))[0] for i in range(8)]
  of_device = set.union(*map(_starts, drawn))
  of_host = set.union(*(_starts(host.replay.sample(40)) for _ in range(8)))
  expected = {(row, start) for row in range(COUNT) for start in range(6)}
  assert of_device == of_host == expected
  assert drawn[0].keys() == host.replay.sample(2).keys() - {"stepid"}


@pytest.mark.parametrize("memory", experience.MEMORIES)
def test_too_little_data_has_no_sequences(memory):
  made, _ = _make(memory)
  _add(made, LENGTH - 1)
  assert made.sequences() == 0
  assert made.look() is None
  _add(made, 1)
  assert made.sequences() == COUNT
  assert made.look()["observation"].shape == (2, LENGTH, 4)


def test_looking_leaves_the_draws_of_training_alone():
  first, second = _make("host")[0], _make("host")[0]
  for each in (first, second):
    _add(each, 14)
  first.look()
  found, expected = first.replay.sample(2), second.replay.sample(2)
  np.testing.assert_array_equal(found["stepid"], expected["stepid"])


def test_latents_of_an_update_replace_those_of_acting():
  host, state = _make("host")
  _add(host, 14)
  rng = np.random.default_rng(0)
  before = host.replay.sample(30, train=False, rng=rng)
  assert not before["deter"].any()
  state, metrics = host.learn(state, 1)
  assert [x["opt/loss"].shape for x in metrics] == [(1,)]
  assert int(state.step) == 1
  ((ids, latents),) = host._found
  assert ids.shape == (1, 2, LENGTH - 1)  # the context keeps what it had
  host.settle()
  assert not host._found
  rng = np.random.default_rng(0)
  after = host.replay.sample(30, train=False, rng=rng)
  written = np.isin(after["stepid"], ids)
  assert written.any()
  assert not written.all()
  expected = dict(
    zip(
      ids.ravel(), np.asarray(latents["deter"])[0].reshape(-1, 16), strict=True
    )
  )
  for stepid, deter in zip(
    after["stepid"][written], after["deter"][written], strict=True
  ):
    np.testing.assert_array_equal(deter, expected[stepid])
  assert not after["deter"][~written].any()


def test_updates_are_dispatched_in_groups():
  assert list(experience.dispatches(7, 3)) == [3, 3, 1]
  assert list(experience.dispatches(2, 3)) == [1, 1]
  assert list(experience.dispatches(0, 3)) == []


def test_rings_are_on_one_device():
  config = tiny_loop.walker()
  graph = learner.make_graph(config, SPEC)
  device = jax.devices()[0]
  several = jax.sharding.Mesh(np.array([device, device]), ("data",))
  with pytest.raises(errors.UserError, match=r"there are 2: set config\.devi"):
    experience.make(config, SPEC, graph, several, None)
