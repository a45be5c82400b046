"""Open-loop predictions: what they may see, and the films of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_loop

from dreamer import context, learner, open_loop, policy, spaces

SPEC = learner.Spec(
  {
    "image": spaces.Space((16, 16, 1), is_image=True),
    "place": spaces.Space((2,)),
    "gear": spaces.Space((), 3),
  },
  {"action": spaces.Space((2,))},
)
B, T, OBSERVED = 2, 8, 3


@pytest.fixture(scope="module")
def agent():
  config = tiny_loop.cartpole()
  graph, params = learner.make_agent(config, SPEC)
  predict = jax.jit(
    functools.partial(
      open_loop.predict, config, SPEC, graph, params, observed=OBSERVED
    )
  )
  return config, graph, params, predict


def _sequences(config):
  """Returns what a replay would: [B, 1 + T, ...]."""
  rng = np.random.default_rng(0)
  shape = (B, config.replay_context + T)
  found = {
    name: np.zeros((*shape, *x.shape[1:]), x.dtype)
    for name, x in policy.example(config, SPEC, 1).items()
  }
  found["image"][:] = rng.integers(0, 256, found["image"].shape)
  found["place"][:] = rng.normal(size=found["place"].shape)
  found["gear"][:] = rng.integers(0, 3, shape)
  found["action/action"][:] = rng.uniform(-1, 1, (*shape, 2))
  found["deter"][:] = rng.normal(size=found["deter"].shape)
  found["stoch"][..., 0] = 1
  return {name: jnp.asarray(x) for name, x in found.items()}


def _predictions(predict, found):
  return {k: np.asarray(x, np.float32) for k, x in predict(found)[0].items()}


def test_first_come_reconstructions(agent):
  config, graph, params, predict = agent
  found = _sequences(config)
  networks = learner.merge(graph, params)
  names = (*SPEC.observations, *learner.FLAGS, "reward")
  batch = context.make_batch(1, SPEC.actions, found, names)
  # the same noise: the first of the two keys that the seed gives
  key = jax.random.split(jax.random.key(config.seed))[0]
  sizes = (config.rssm.stoch, config.rssm.classes)
  latent, _ = networks.rssm.observe(
    batch["start"],
    networks.action_vector(batch["previous_action"])[:, :OBSERVED],
    networks.encoder({k: batch[k][:, :OBSERVED] for k in SPEC.observations}),
    batch["is_first"][:, :OBSERVED],
    jax.random.gumbel(key, (B, OBSERVED, *sizes)),
  )
  predicted = _predictions(predict, found)
  for name, one in networks.decoder(latent).items():
    np.testing.assert_allclose(
      predicted[name][:, :OBSERVED],
      one.mode(),
      rtol=1e-4,
      atol=1e-5,
      err_msg=name,
    )
    assert predicted[name].shape[:2] == (B, T)


def test_nothing_is_seen_after_the_context(agent):
  config, _, _, predict = agent
  found = _sequences(config)
  before = _predictions(predict, found)
  blind = dict(found)
  for name in SPEC.observations:  # one replayed step is the replay's context
    blind[name] = found[name].at[:, 1 + OBSERVED :].set(0)
  after = _predictions(predict, blind)
  for name, value in before.items():
    np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_the_last_observed_step_is_seen(agent):
  config, _, _, predict = agent
  found = _sequences(config)
  before = _predictions(predict, found)["place"]
  differs = np.zeros(T, bool)
  for shade in range(0, 250, 50):  # of few and sampled classes, some change
    changed = dict(found)
    changed["image"] = found["image"].at[:, OBSERVED].set(shade)
    changed["place"] = found["place"].at[:, OBSERVED].set(shade - 100.0)
    after = _predictions(predict, changed)["place"]
    differs |= np.abs(after - before).max((0, 2)) > 0
  assert not differs[: OBSERVED - 1].any()
  assert differs[OBSERVED - 1 :].all()


@pytest.mark.parametrize("step", [1, OBSERVED + 1, T - 1])
def test_actions_count_from_the_step_after_them(agent, step):
  """Action t is followed by observation t + 1; the last one by none."""
  config, _, _, predict = agent
  found = _sequences(config)
  before = _predictions(predict, found)["image"]
  changed = dict(found)
  actions = found["action/action"]
  changed["action/action"] = actions.at[:, 1 + step].multiply(-1.0)
  after = _predictions(predict, changed)["image"]
  differs = np.abs(after - before).max((0, 2, 3, 4)) > 0
  assert not differs[: step + 1].any()
  if step + 1 < T:
    assert differs[step + 1]


def test_the_errors_by_hand(agent):
  config, _, _, predict = agent
  found = _sequences(config)
  predicted, errors = predict(found)
  end = {k: np.asarray(x)[:, OBSERVED:] for k, x in predicted.items()}
  truth = {k: np.asarray(found[k])[:, 1 + OBSERVED :] for k in predicted}
  image = np.mean((end["image"] - truth["image"] / 255) ** 2)
  symlog = np.sign(truth["place"]) * np.log1p(np.abs(truth["place"]))
  place = np.mean((end["place"] - symlog) ** 2)
  gear = np.mean(end["gear"] != truth["gear"])
  assert float(errors["image"]) == pytest.approx(image, rel=1e-4)
  assert float(errors["place"]) == pytest.approx(place, rel=1e-4)
  assert float(errors["gear"]) == pytest.approx(gear)


def test_a_film_by_hand():
  truth = np.full((2, 3, 4, 6, 1), 51, np.uint8)  # a fifth of white
  model = np.full((2, 3, 4, 6, 1), 0.4, np.float32)
  model[1] = 7.0  # clipped
  frames = open_loop.film(truth, model, observed=2)
  # three rows of 4 + 2 x 2 pixels, two columns of 6 + 2 x 2
  assert frames.shape == (3, 24, 20, 3)
  assert frames.dtype == np.uint8
  for top, left, shade in (
    *((0, 0, 51), (8, 0, 102), (16, 0, 153)),  # (0.4 - 0.2 + 1) / 2 = 0.6
    *((0, 10, 51), (8, 10, 255), (16, 10, 255)),
  ):
    cell = frames[:, top : top + 8, left : left + 10]
    inner = cell[:, 2:-2, 2:-2]
    assert (np.abs(inner.astype(int) - shade) <= 1).all()
    for edge in (cell[:, :2], cell[:, -2:], cell[:, :, :2], cell[:, :, -2:]):
      assert (edge[:2] == (0, 255, 0)).all()
      assert (edge[2] == (255, 0, 0)).all()


@pytest.mark.parametrize(
  ("channels", "shape"), [(1, 3), (2, 3), (3, 3), (5, 3)]
)
def test_any_number_of_channels_is_shown(channels, shape):
  truth = np.zeros((1, 2, 5, 5, channels), np.uint8)
  frames = open_loop.film(truth, np.zeros(truth.shape, np.float32), 1)
  assert frames.shape == (2, 26, 8, shape)  # even, for H.264
