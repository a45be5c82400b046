"""Acting on observations made by hand, against the networks' own parts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_loop

from carnet import errors
from dreamer import learner, noise, policy, rssm, spaces

SPEC = learner.Spec(
  {
    "place": spaces.Space((3,)),
    "gear": spaces.Space((), 4),
  },
  {"push": spaces.Space((2,)), "turn": spaces.Space((), 3)},
)
COUNT = 5
FIRST = np.array([True, False, False, True, False])


@pytest.fixture(scope="module")
def agent():
  config = tiny_loop.cartpole()
  config.actor.outscale = 1.0  # so that the likeliest actions differ
  graph, params = learner.make_agent(config, SPEC)
  act = jax.jit(
    functools.partial(policy.act, config, SPEC, graph),
    static_argnames="actions",
  )
  return config, graph, params, act


def _observation():
  rng = np.random.default_rng(1)
  return {
    "place": jnp.asarray(rng.normal(size=(COUNT, 3)), jnp.float32),
    "gear": jnp.asarray(rng.integers(0, 4, COUNT), jnp.int32),
  }


def _carry(config):
  rng = np.random.default_rng(2)
  sizes = config.rssm
  classes = rng.integers(0, sizes.classes, (COUNT, sizes.stoch))
  latent = rssm.Latent(
    jnp.asarray(rng.normal(size=(COUNT, sizes.deter)), jnp.float32),
    jax.nn.one_hot(classes, sizes.classes),
  )
  push = jnp.asarray(rng.normal(size=(COUNT, 2)), jnp.float32)
  return policy.Carry(
    latent, {"push": push, "turn": jnp.array([0, 1, 2, 1, 0], jnp.int32)}
  )


@pytest.mark.parametrize("actions", policy.ACTIONS)
def test_acting_is_the_networks_one_after_the_other(agent, actions):
  config, graph, params, act = agent
  carry, seen, key = _carry(config), _observation(), jax.random.key(3)
  found = act(params, carry, seen, FIRST, key, actions=actions)
  networks = learner.merge(graph, params)
  latent_key, action_key = jax.random.split(key)
  keep = jnp.asarray(~FIRST, jnp.float32)[:, None]
  before = rssm.Latent(
    carry.latent.deter * keep, carry.latent.stoch * keep[..., None]
  )
  action = networks.action_vector(carry.action) * keep
  deter = networks.rssm.advance(before, action)
  logits = networks.rssm.posterior(deter, networks.encoder(seen))
  gumbel = jax.random.gumbel(latent_key, carry.latent.stoch.shape)
  stoch = networks.rssm.draw(logits, gumbel)
  np.testing.assert_allclose(found.latent.deter, deter, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(found.latent.stoch.round(), stoch.round())
  choices = networks.actor(rssm.Latent(deter, stoch).feature)
  drawn = noise.draw_actions(SPEC.actions, (COUNT,), action_key)
  for name, choice in choices.items():
    expected = (
      choice.mode() if actions == "mode" else choice.sample(drawn[name])
    )
    np.testing.assert_allclose(
      found.action[name], expected, rtol=1e-4, atol=1e-5, err_msg=name
    )
    assert found.action[name].dtype == SPEC.actions[name].dtype


def test_a_new_episode_forgets_the_one_before(agent):
  config, _, params, act = agent
  seen, key = _observation(), jax.random.key(3)
  fresh = policy.initial(config, SPEC, COUNT)
  after = act(params, _carry(config), seen, FIRST, key)
  anew = act(params, fresh, seen, FIRST, key)
  for one, other in zip(
    jax.tree.leaves(after), jax.tree.leaves(anew), strict=True
  ):
    np.testing.assert_array_equal(one[FIRST], other[FIRST])
  differs = np.abs(after.latent.deter - anew.latent.deter).max(-1) > 1e-3
  np.testing.assert_array_equal(differs, ~FIRST)


def test_modes_are_the_same_for_every_draw_of_the_action(agent):
  config, graph, params, act = agent
  seen, carry = _observation(), _carry(config)
  sampled = [
    act(params, carry, seen, FIRST, jax.random.key(i)).action["push"]
    for i in range(4)
  ]
  assert min(np.abs(a - sampled[0]).max() for a in sampled[1:]) > 0.05
  found = act(params, carry, seen, FIRST, jax.random.key(0), actions="mode")
  choice = learner.merge(graph, params).actor(found.latent.feature)
  np.testing.assert_allclose(
    found.action["push"], choice["push"].mode(), rtol=1e-4, atol=1e-5
  )
  np.testing.assert_array_equal(found.action["turn"], choice["turn"].mode())


def test_what_a_replay_keeps(agent):
  config, _, params, act = agent
  carry = act(params, _carry(config), _observation(), FIRST, jax.random.key(0))
  kept = policy.record(carry)
  dtypes = {name: str(x.dtype) for name, x in kept.items()}
  assert dtypes == {
    "action/push": "float32",
    "action/turn": "int32",
    "deter": "float32",
    "stoch": "uint8",
  }
  assert (np.asarray(kept["stoch"]).sum(-1) == 1).all()
  example = policy.example(config, SPEC, COUNT)
  assert kept.keys() < example.keys()
  for name, x in kept.items():
    assert (x.shape, x.dtype) == (example[name].shape, example[name].dtype)
  assert set(example) - set(kept) == {
    *SPEC.observations,
    *learner.FLAGS,
    "reward",
  }


def test_one_action_is_bare_several_are_named():
  turn = jnp.zeros(2, jnp.int32)
  bare = policy.to_env({"action": turn})
  assert isinstance(bare, np.ndarray)
  assert set(policy.to_env({"turn": turn})) == {"turn"}
  assert isinstance(policy.to_env({"turn": turn})["turn"], np.ndarray)


def test_a_policy_carries_its_latent_through_an_episode(agent):
  config, graph, params, act = agent
  one = policy.Policy(config, SPEC, graph, params, "mode")
  seen, key = jax.device_get(_observation()), jax.random.key(0)
  carry = one.init(COUNT)
  assert one.needs_observation(carry)
  begin = np.ones(COUNT, bool)
  expected = policy.initial(config, SPEC, COUNT)
  for first in (begin, ~begin):
    carry, actions = one.act(carry, seen, key)
    expected = act(params, expected, seen, first, key, actions="mode")
    for name, value in expected.action.items():
      np.testing.assert_array_equal(actions[name], value)
  with pytest.raises(ValueError, match="needs an observation"):
    one.act(carry, None, key)


def test_a_wrong_way_to_act_is_told(agent):
  config, graph, params, _ = agent
  with pytest.raises(errors.UserError, match="did you mean 'mode'"):
    policy.Policy(config, SPEC, graph, params, "mod")
