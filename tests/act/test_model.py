"""The network: shapes, masks, options, sizes, invariances."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_act
from flax import nnx
from jax.tree_util import keystr

from act import config as config_lib
from act import features, learner, model, noise
from carnet import errors


@functools.cache  # compiled once for all tests
def make(**options: Any) -> Any:
  """Returns params and a jitted function of the network."""
  config = tiny_act.config(**options)
  state = learner.init_state(config, tiny_act.FEATURES)

  def run(params: Any, batch: Any, train: bool, **kwargs: Any) -> model.Output:
    return learner.apply(
      config, tiny_act.FEATURES, params, state.buffers, batch, train, **kwargs
    )

  return state.params, jax.jit(run, static_argnums=2)


def count(config: Any, spec: features.Features) -> tuple[int, int]:
  network = model.abstract(config.model, spec)
  trained, frozen = nnx.state(network, nnx.Param, ...)
  return tuple(
    sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(part))
    for part in (trained, frozen)
  )


def test_default_size_is_lerobots() -> None:
  """51,613,582 trained and 19,200 frozen, as measured on LeRobot itself."""
  config = config_lib.default_config()
  config.model.backbone_norm = "frozen"
  spec = features.Features((("top", (480, 640, 3)),), 14, 14)
  assert count(config, spec) == (51_613_582, 19_200)


def test_backbones_have_torchvisions_size() -> None:
  """Parameters of torchvision's models without fc: 11.2, 21.3, 23.5 million.

  The 128 of each norm channel pair are buffers when frozen: resnet18 has
  11,689,512 parameters, of which fc 513,000 and norms 9,600.
  """
  sizes = {
    "resnet18": 11_166_912,
    "resnet34": 21_267_648,
    "resnet50": 23_454_912,
  }
  for name, expected in sizes.items():
    config = config_lib.default_config()
    config.model.update(backbone=name, backbone_norm="frozen")
    network = model.abstract(config.model, tiny_act.FEATURES).backbone
    leaves = jax.tree.leaves(nnx.state(network, nnx.Param))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == expected


TWO = features.Features(
  images=(("top", (32, 32, 3)), ("wrist", (32, 48, 3)), ("left", (32, 32, 3))),
  action_size=3,
  state_size=4,
)


@pytest.mark.parametrize(
  ("options", "changes"),
  [
    ({"activation": "gelu"}, {}),
    ({"pre_norm": True}, {}),
    ({"use_vae": False}, {}),
    ({"encoder_layers": 2, "decoder_layers": 3, "vae_encoder_layers": 2}, {}),
    ({}, {"environment_state_size": 2}),
    ({}, {"state_size": 0}),
    ({}, {"images": (), "environment_state_size": 2}),
    ({}, {"images": TWO.images}),
    ({"backbone": "resnet18"}, {}),
    ({"backbone": "resnet34", "backbone_norm": "frozen"}, {}),
    ({"backbone": "resnet50", "replace_final_stride_with_dilation": True}, {}),
  ],
)
def test_every_option_runs(options: Any, changes: Any) -> None:
  spec = dataclasses.replace(tiny_act.FEATURES, **changes)
  config = tiny_act.config(**options)
  state = jax.eval_shape(lambda: learner.init_state(config, spec))

  def run(state: Any, batch: Any) -> model.Output:
    key = jax.random.key(0)
    return learner.apply(
      config, spec, state.params, state.buffers, batch, True, key
    )

  output = jax.eval_shape(run, state, tiny_act.batch(spec))
  assert output.actions.shape == (4, 5, 3)
  assert (output.mu is None) == (not config.model.use_vae)


def test_dilation_keeps_the_cells() -> None:
  def cells(dilate: bool) -> tuple[int, ...]:
    config = tiny_act.config(
      backbone="resnet50", replace_final_stride_with_dilation=dilate
    )
    image = jnp.zeros((1, 64, 96, 3))
    run = lambda x: model.ACT(  # noqa: E731
      config.model, tiny_act.FEATURES, noise.Noise(jax.random.key(0))
    ).backbone(x)
    return jax.eval_shape(run, image).shape

  assert cells(False) == (1, 2, 3, 32)  # 1/32
  assert cells(True) == (1, 4, 6, 32)  # 1/16


def test_cameras_of_one_size_do_not_mix() -> None:
  """One backbone call for all must equal one call for each."""
  network = model.ACT(
    tiny_act.config().model, TWO, noise.Noise(jax.random.key(0))
  )
  images = tiny_act.batch(TWO)["images"]
  together = network.image_maps(images)
  for (name, _), ours in zip(TWO.images, together, strict=True):
    alone = network.image_projection(network.backbone(images[name]))
    np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-6)


def test_padded_actions_never_matter() -> None:
  params, run = make(dropout=0.0)
  batch = tiny_act.batch()
  changed = {**batch}
  padding = batch["is_pad"][..., None]
  changed["actions"] = jnp.where(padding, 1e6, batch["actions"])
  noise = jnp.ones((4, 4))
  before = run(params, batch, True, latent_noise=noise)
  after = run(params, changed, True, latent_noise=noise)
  jax.tree.map(np.testing.assert_array_equal, before, after)
  valid = jnp.where(padding, batch["actions"], batch["actions"] + 1.0)
  moved = run(params, {**batch, "actions": valid}, True, latent_noise=noise)
  assert jnp.abs(moved.mu - before.mu).max() > 1e-3


def test_evaluation_ignores_actions_and_has_no_posterior() -> None:
  params, run = make(dropout=0.0)
  batch = tiny_act.batch()
  output = run(params, batch, False)
  without = {k: v for k, v in batch.items() if k in ("images", "state")}
  np.testing.assert_array_equal(output.actions, run(params, without, False)[0])
  assert output.mu is None
  assert output.log_sigma_x2 is None


def test_evaluation_uses_a_latent_of_zero() -> None:
  """A posterior with mu = 0 and no noise must give the same actions."""
  params, run = make(dropout=0.0)
  batch = tiny_act.batch()
  head = params["vae_encoder"]["latent_projection"]
  zeros = jax.tree.map(jnp.zeros_like, head)
  silent = {**params["vae_encoder"], "latent_projection": zeros}
  noiseless = run(
    {**params, "vae_encoder": silent},
    batch,
    True,
    latent_noise=jnp.zeros((4, 4)),
  )
  evaluated = run(params, batch, False)
  np.testing.assert_allclose(noiseless.actions, evaluated.actions, atol=1e-6)


def test_samples_do_not_mix() -> None:
  params, run = make(dropout=0.0)
  batch = tiny_act.batch()
  noise = jnp.ones((4, 4))
  whole = run(params, batch, True, latent_noise=noise)
  backwards = jax.tree.map(lambda x: x[::-1], batch)
  turned = run(params, backwards, True, latent_noise=noise)
  np.testing.assert_allclose(
    turned.actions[::-1], whole.actions, rtol=1e-4, atol=1e-5
  )
  others = jax.tree.map(lambda x: x.at[1:].set(x[:1]), batch)
  alone = run(params, others, True, latent_noise=noise)
  np.testing.assert_allclose(
    alone.actions[0], whole.actions[0], rtol=1e-4, atol=1e-5
  )


def test_jit_changes_nothing() -> None:
  config = tiny_act.config(use_vae=False)
  params, run = make(use_vae=False)
  batch, key = tiny_act.batch(), jax.random.key(3)
  jitted = run(params, batch, True, key=key).actions
  plain = learner.apply(
    config, tiny_act.FEATURES, params, {}, batch, True, key
  ).actions
  np.testing.assert_allclose(jitted, plain, rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_alone() -> None:
  params, run = make(use_vae=False)
  batch = tiny_act.batch()
  first, second = (
    run(params, batch, True, key=jax.random.key(i)).actions for i in (0, 1)
  )
  assert jnp.abs(first - second).max() > 1e-3
  np.testing.assert_array_equal(
    run(params, batch, True).actions, run(params, batch, False).actions
  )


@pytest.mark.parametrize("pre_norm", [False, True])
def test_every_parameter_receives_a_gradient(pre_norm: bool) -> None:
  params, run = make(dropout=0.0, pre_norm=pre_norm, decoder_layers=2)
  params = jax.tree.map(lambda x: x + 0.01, params)  # off the zero biases
  batch = tiny_act.batch()

  def loss(params: Any) -> jax.Array:
    noise = jnp.ones((4, 4))
    output = run(params, batch, True, latent_noise=noise)
    return jnp.sum(jnp.square(output.actions)) + jnp.sum(output.mu)

  gradients = jax.grad(loss)(params)
  # The first queries are all alike (zeros): attending among them gives their
  # common value whatever the weights, and a scale of zeros is idle.
  idle = ["['decoder']['layer0']['self_attention']['input_"]
  idle += ["['decoder']['layer0']['norm1']['scale']"] if pre_norm else []
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
    if not keystr(path).startswith(tuple(idle)):
      assert jnp.abs(leaf).max() > 1e-9, keystr(path)


def test_initial_values_are_the_originals() -> None:
  config = tiny_act.config(width=64, feedforward=256)
  params = learner.init_state(config, tiny_act.FEATURES).params
  layer = params["encoder"]["layer0"]
  vae = params["vae_encoder"]["encoder"]["layer0"]
  bounds = {
    # Xavier: sqrt(6 / (in + out)); query, key and value count as one matrix
    "attention": (
      layer["self_attention"]["input_kernel"],
      math.sqrt(6 / (64 + 3 * 64)),
    ),
    "output": (layer["self_attention"]["output"]["kernel"], math.sqrt(6 / 128)),
    "expand": (layer["feedforward"]["expand"]["kernel"], math.sqrt(6 / 320)),
    # torch's default: 1 / sqrt(in)
    "bias": (layer["feedforward"]["expand"]["bias"], 1 / 8),
    "vae": (vae["feedforward"]["expand"]["kernel"], 1 / 8),
    "vae output": (vae["self_attention"]["output"]["kernel"], 1 / 8),
    "head": (params["action_head"]["kernel"], 1 / 8),
  }
  for name, (values, bound) in bounds.items():
    largest = float(jnp.abs(values).max())
    assert 0.9 * bound < largest <= bound, name
  assert not jnp.any(layer["self_attention"]["input_bias"])
  assert not jnp.any(layer["self_attention"]["output"]["bias"])
  assert 0.8 < float(jnp.std(params["query_position"])) < 1.2


def test_sinusoids_by_hand() -> None:
  table = model.sinusoid_table(3, 4)
  angles = [2.0, 2.0 / 100.0]  # t = 2; 10000^(0/4), 10000^(2/4)
  expected = [f(a) for a in angles for f in (math.sin, math.cos)]
  np.testing.assert_allclose(table[2], expected, rtol=1e-6)
  grid = model.image_position(2, 4, 8)
  half_turn, quarter = math.pi, math.pi / 2  # row 1 of 2; column 1 of 4
  angles = [half_turn, half_turn / 100, quarter, quarter / 100]
  expected = [f(a) for a in angles for f in (math.sin, math.cos)]
  np.testing.assert_allclose(grid[0, 0], expected, atol=1e-5)


def test_half_precision_stays_near() -> None:
  params, run = make(use_vae=False)
  half = lambda tree: jax.tree.map(  # noqa: E731
    lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x, tree
  )
  config = tiny_act.config(use_vae=False)
  network = model.abstract(config.model, tiny_act.FEATURES)
  graph, batch = nnx.graphdef(network), tiny_act.batch()
  output = nnx.merge(graph, half(params), {})(half(batch), train=False)
  assert output.actions.dtype == jnp.float32
  exact = run(params, batch, False).actions
  assert jnp.abs(output.actions - exact).max() < 0.1


@pytest.mark.parametrize(
  ("options", "says"),
  [
    ({"activation": "glu"}, "gelu"),
    ({"backbone": "resnet81"}, "resnet18"),
    ({"backbone_norm": "batch"}, "frozen, group"),
    ({"heads": 3}, "multiple of model.heads=3"),
    ({"dropout": 1.0}, r"\[0, 1\)"),
    ({"backbone_widths": (4, 4)}, "four"),
    ({"backbone_norm": "frozen"}, "small.*unnormalised"),
    ({"backbone_weights": "x.pth"}, 'backbone_norm="frozen"'),
    ({"replace_final_stride_with_dilation": True}, "resnet50 or deeper"),
  ],
)
def test_bad_options_are_named(options: Any, says: str) -> None:
  config = tiny_act.config(**options)
  with pytest.raises(errors.UserError, match=says):
    learner.init_state(config, tiny_act.FEATURES)
