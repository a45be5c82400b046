"""One program of everything on Catch: what it records and learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_loop

from carnet.envs import catch
from dreamer import context, device_replay, jitted, learner, policy, spaces

SPEC = learner.Spec(
  {"image": spaces.Space(catch.IMAGE_SHAPE, is_image=True)},
  {"action": spaces.Space((), catch.ACTIONS)},
)


STEPS, UPDATES = 12, 3


@pytest.fixture(scope="module")
def loop():
  """Returns the program, its three states, and a jitted iteration of them."""
  config = tiny_loop.catch()
  program, train, begun = jitted.init(config, SPEC, catch)
  example = policy.example(config, SPEC, config.loop.environments)
  replay = device_replay.create(20, example)

  # compiled as `dreamer.compiled` does, so once for both
  compiled = jax.jit(
    functools.partial(jitted.iterate, program),
    static_argnums=(3, 4),
    donate_argnums=(0, 1, 2),
  )

  def iterate(states, updates=UPDATES):
    *states, metrics = compiled(*jax.tree.map(jnp.copy, states), STEPS, updates)
    return tuple(states), metrics

  return program, (train, begun, replay), iterate


@pytest.fixture(scope="module")
def after(loop):
  """Returns the states and metrics after one iteration."""
  _, states, iterate = loop
  return iterate(states)


def _leaves(state):
  return [
    np.asarray(jax.random.key_data(x))
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    else np.asarray(x)
    for x in jax.tree.leaves(state)
  ]


def test_an_iteration_steps_records_and_learns(loop, after):
  _, (before, _, _), _ = loop
  (train, begun, replay), metrics = after
  assert int(begun.env_steps) == STEPS
  assert int(train.step) == UPDATES
  assert int(replay.size) == STEPS
  assert int(metrics["episode/count"]) == 4  # a Catch has 10 steps
  assert -1 <= float(metrics["episode/return"]) <= 1
  moved = [
    float(jnp.abs(a - b).max())
    for a, b in zip(
      jax.tree.leaves(before.params),
      jax.tree.leaves(train.params),
      strict=True,
    )
  ]
  assert sum(m > 0 for m in moved) > 0.9 * len(moved)
  assert all(np.isfinite(x).all() for x in _leaves(train.params))


def test_what_is_recorded_is_what_happened(after):
  """Replays the recorded actions in the environment, by hand."""
  (_, _, replay), _ = after
  steps = jax.tree.map(np.asarray, replay.steps)
  assert steps["is_first"][0].all()
  assert steps["is_last"][9].all()
  assert steps["is_first"][10].all()
  for row in range(4):
    paddle = 2
    for time in range(9):
      paddle = min(max(paddle + steps["action/action"][time, row] - 1, 0), 4)
      picture = steps["image"][time + 1, row, 9, :15, 0].reshape(5, 3)[:, 0]
      assert picture[paddle] == 255
    assert steps["reward"][9, row] == (
      1.0 if steps["image"][9, row].sum() == 3 * 255 else -1.0
    )


def test_the_first_step_of_a_sequence_is_context(loop, after):
  program, _, _ = loop
  (_, _, replay), _ = after
  found = {k: jnp.swapaxes(x[2:11], 0, 1) for k, x in replay.steps.items()}
  names = (*SPEC.observations, *learner.FLAGS, "reward")
  steps = program.config.replay_context
  batch = context.make_batch(steps, SPEC.actions, found, names)
  assert batch["image"].shape[:2] == (4, 8)
  np.testing.assert_array_equal(batch["image"], found["image"][:, 1:])
  np.testing.assert_array_equal(
    batch["previous_action"]["action"], found["action/action"][:, :-1]
  )
  np.testing.assert_array_equal(batch["start"].deter, found["deter"][:, 0])


def test_updates_put_their_latents_in_place_of_those_of_acting(loop, after):
  _, states, iterate = loop
  (_, _, acted), metrics = iterate(states, 0)
  assert set(metrics) == {"episode/return", "episode/count"}
  (_, _, learned), _ = after
  for name, ring in acted.steps.items():
    same = np.array_equal(ring, learned.steps[name])
    assert same is (name not in ("deter", "stoch")), name
  stoch = np.asarray(learned.steps["stoch"])
  assert stoch.dtype == np.uint8
  assert (stoch[:STEPS].sum(-1) == 1).all()
  assert not stoch[STEPS:].any()
