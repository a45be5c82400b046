"""The compiled loop on Catch: what it records, learns and resumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import config_dict

from carnet import checkpoint
from carnet.envs import catch
from dreamer import config as dreamer_config
from dreamer import jitted, learner, spaces

SPEC = learner.Spec(
  {"image": spaces.Space(catch.IMAGE_SHAPE, is_image=True)},
  {"action": spaces.Space((), catch.ACTIONS)},
)


def _config():
  config = dreamer_config.default_config()
  with config.unlocked():
    config.loop = config_dict.create(
      environments=4, steps=12, updates=2, capacity=200
    )
  config.rssm.update(deter=16, hidden=8, stoch=4, classes=4, blocks=4)
  for part in ("encoder", "decoder"):
    config[part].update(depth=2, units=8, layers=1, mults=(1, 2, 2, 4))
  config.decoder.bspace = 4
  for part in ("reward", "continuation", "actor", "critic"):
    config[part].update(units=8, layers=1)
  config.reward.bins = config.critic.bins = 41
  config.batch_size, config.batch_length, config.imag_length = 3, 6, 4
  config.optimizer.update(lr=1e-2, warmup=0)
  return config


@pytest.fixture(scope="module")
def loop():
  program, state = jitted.init(_config(), SPEC, catch)
  iterate = jax.jit(lambda state: jitted.iterate(program, state))
  return program, state, iterate


def _leaves(state):
  return [
    np.asarray(jax.random.key_data(x))
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    else np.asarray(x)
    for x in jax.tree.leaves(state)
  ]


def test_an_iteration_steps_records_and_learns(loop):
  _, state, iterate = loop
  after, metrics = iterate(state)
  assert int(after.env_steps) == 12
  assert int(after.train.step) == 2
  assert int(after.replay.size) == 12
  assert int(metrics["episode/count"]) == 4  # a Catch has 10 steps
  assert -1 <= float(metrics["episode/return"]) <= 1
  moved = [
    float(jnp.abs(a - b).max())
    for a, b in zip(
      jax.tree.leaves(state.train.params),
      jax.tree.leaves(after.train.params),
      strict=True,
    )
  ]
  assert sum(m > 0 for m in moved) > 0.9 * len(moved)
  assert all(np.isfinite(x).all() for x in _leaves(after.train.params))


def test_what_is_recorded_is_what_happened(loop):
  """Replays the recorded actions in the environment, by hand."""
  _, state, iterate = loop
  after, _ = iterate(state)
  steps = jax.tree.map(np.asarray, after.replay.steps)
  assert steps["is_first"][0].all()
  assert steps["is_last"][9].all()
  assert steps["is_first"][10].all()
  for row in range(4):
    paddle = 2
    for time in range(9):
      paddle = min(max(paddle + steps["action"]["action"][time, row] - 1, 0), 4)
      picture = steps["image"][time + 1, row, 9, :15, 0].reshape(5, 3)[:, 0]
      assert picture[paddle] == 255
    assert steps["reward"][9, row] == (
      1.0 if steps["image"][9, row].sum() == 3 * 255 else -1.0
    )


def test_the_first_step_of_a_sequence_is_context(loop):
  program, state, iterate = loop
  after, _ = iterate(state)
  found = jax.tree.map(
    lambda x: jnp.swapaxes(x[2:9], 0, 1), dict(after.replay.steps)
  )
  batch = jitted.make_batch(program.config, program.spec, found)
  assert batch["image"].shape[:2] == (4, 6)
  np.testing.assert_array_equal(batch["image"], found["image"][:, 1:])
  np.testing.assert_array_equal(
    batch["previous_action"]["action"], found["action"]["action"][:, :-1]
  )
  np.testing.assert_array_equal(batch["start"].deter, found["deter"][:, 0])


def test_a_resumed_loop_is_bit_equal(loop, tmp_path):
  _, state, iterate = loop
  straight, _ = iterate(iterate(state)[0])
  with checkpoint.Checkpoint(tmp_path, verbose=False) as saved:
    saved.register("loop", iterate(state)[0])
    saved.save(1)
  with checkpoint.Checkpoint(tmp_path, verbose=False) as saved:
    handle = saved.register("loop", state)
    saved.load_or_save()
    resumed, _ = iterate(handle.value)
  for a, b in zip(_leaves(straight), _leaves(resumed), strict=True):
    np.testing.assert_array_equal(a, b)


def test_evaluation_plays_whole_episodes_and_learns_nothing(loop):
  program, state, _ = loop
  evaluate = jax.jit(lambda s: jitted.evaluate(program, s, 20))
  mean, episodes = evaluate(state)
  assert int(episodes) == 8
  assert -1 <= float(mean) <= 1
