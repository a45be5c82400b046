"""Chunks executed in part, ensembled, queried a few at a time."""

import jax
import numpy as np
import pytest
import tiny_config

from act import features, learner, policy

SPEC = features.Features((("top", (32, 32, 3)),), action_size=2, state_size=2)
STATISTICS = {
  "images/top": {"mean": [0.5] * 3, "std": [0.25] * 3},
  "state": {"mean": [0.0, 1.0], "std": [1.0, 2.0]},
  "action": {"mean": [1.0, -1.0], "std": [2.0, 0.5]},
}


def _policy(**model):
  config = tiny_config.get_config()
  config.model.update(model)
  config.normalization.images = "mean_std"
  state = learner.init_state(config, SPEC)
  acting = policy.Policy(config, SPEC, STATISTICS, state.params, state.buffers)
  return acting, config, state


def _observations(steps, episodes, seed=0):
  rng = np.random.default_rng(seed)
  return [
    {
      "images/top": rng.integers(0, 256, (episodes, 32, 32, 3), np.uint8),
      "qpos": rng.normal(size=(episodes, 2)).astype(np.float32),
    }
    for _ in range(steps)
  ]


def _chunk(config, state, seen):
  batch = {"images": {"top": seen["images/top"]}, "state": seen["qpos"]}
  return np.asarray(
    learner.predict(
      config, SPEC, STATISTICS, state.params, state.buffers, batch
    )
  )


def _act_through(acting, observations):
  carry, actions, looked = acting.init(3), [], []
  for step, seen in enumerate(observations):
    looks = acting.needs_observation(carry)
    looked += [step] if looks else []
    carry, action = acting.act(
      carry, seen if looks else None, jax.random.key(0)
    )
    actions.append(action)
  return np.stack(actions), looked


def test_executes_the_first_actions_of_each_chunk():
  acting, config, state = _policy(n_action_steps=3)
  observations = _observations(7, 3)
  actions, looked = _act_through(acting, observations)
  assert looked == [0, 3, 6]
  for step, action in enumerate(actions):
    chunk = _chunk(config, state, observations[step - step % 3])
    np.testing.assert_allclose(action, chunk[:, step % 3], atol=1e-5)


def test_ensembling_equals_the_weighted_mean_of_all_past_predictions():
  acting, config, state = _policy(
    temporal_ensemble=True, temporal_ensemble_coefficient=0.1
  )
  observations = _observations(9, 3)
  actions, looked = _act_through(acting, observations)
  assert looked == list(range(9))
  chunks = [_chunk(config, state, seen) for seen in observations]
  size = config.model.chunk_size
  for step, action in enumerate(actions):
    oldest = max(0, step - size + 1)
    past = [chunks[t][:, step - t] for t in range(oldest, step + 1)]
    weights = np.exp(-0.1 * np.arange(len(past)))
    mean = np.tensordot(weights / weights.sum(), np.stack(past), 1)
    np.testing.assert_allclose(action, mean, atol=1e-5)


def test_many_episodes_are_queried_in_parts_with_the_same_result():
  acting, config, state = _policy()
  (seen,) = _observations(1, 37)  # two full parts and a rest
  _, action = acting.act(acting.init(37), seen, jax.random.key(0))
  np.testing.assert_allclose(
    action, _chunk(config, state, seen)[:, 0], atol=1e-5
  )


def test_a_due_query_without_observation_is_an_error():
  acting, _, _ = _policy()
  with pytest.raises(ValueError, match="needs an observation"):
    acting.act(acting.init(1), None, jax.random.key(0))
