"""The numbers of LeRobot's own ACT, on any fixture set of its structure.

`ACT_FIXTURES` names the set (default: tests/fixtures/lerobot_act_tiny). Every
size, camera, name and rate is read from its files; what a set does not have
(a VAE, a state, cameras) is skipped.
"""

import dataclasses
import functools
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from act import config as config_lib
from act import (
  ensembling,
  features,
  learner,
  lerobot_names,
  model,
  normalize,
  optimizer,
)

pytestmark = pytest.mark.parity

DEFAULT = pathlib.Path(__file__).parents[1] / "fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))
TRAINED = next(FIXTURES.glob("run/checkpoints/*/pretrained_model"))
MODES = {
  "IDENTITY": "identity",
  "MEAN_STD": "mean_std",
  "MIN_MAX": "min_max",
  "QUANTILES": "quantiles",
  "QUANTILE10": "quantile10",
}


@functools.cache
def arrays(name: str) -> dict[str, np.ndarray]:
  path = FIXTURES / name
  if not path.exists():
    return {}
  if path.suffix == ".safetensors":
    return safetensors.numpy.load_file(path)
  with np.load(path) as file:
    return dict(file)


@dataclasses.dataclass(frozen=True)
class Case:
  """One fixture set in the terms of this package."""

  config: ml_collections.ConfigDict
  features: features.Features
  keys: dict[str, str]  # our name of a vector -> LeRobot's
  params: dict[str, Any]
  buffers: dict[str, Any]

  def batch(self, name: str) -> dict[str, Any]:
    """Returns a file of inputs as our batch: samples first, channels last."""
    raw = arrays(name)
    images = {c: raw[c].transpose(0, 2, 3, 1) for c in self.features.cameras}
    vectors = {ours: raw[key] for ours, key in self.keys.items()}
    actions = {"actions": raw["action"], "is_pad": raw["action_is_pad"]}
    batch = {"images": images, **vectors, **actions}
    return jax.tree.map(jnp.asarray, batch)

  def apply(self, *args: Any, **kwargs: Any) -> model.Output:
    return learner.apply(self.config, self.features, *args, **kwargs)

  def tree(self, state_dict: dict[str, np.ndarray]) -> dict[str, Any]:
    return lerobot_names.to_tree(state_dict, self.params, str(FIXTURES))


def read_config(
  written: dict[str, Any], weights: dict[str, np.ndarray]
) -> ml_collections.ConfigDict:
  """Translates config.json; the widths of the backbone are in the weights."""
  config = config_lib.default_config()
  stages = [f"model.backbone.layer{i}.0.conv1.weight" for i in range(1, 5)]
  if stages[0] in weights:
    config.model.backbone_widths = tuple(len(weights[key]) for key in stages)
  config.model.update(
    chunk_size=written["chunk_size"],
    n_action_steps=written["n_action_steps"],
    width=written["dim_model"],
    heads=written["n_heads"],
    feedforward=written["dim_feedforward"],
    activation=written["feedforward_activation"],
    dropout=written["dropout"],
    pre_norm=written["pre_norm"],
    encoder_layers=written["n_encoder_layers"],
    decoder_layers=written["n_decoder_layers"],
    use_vae=written["use_vae"],
    latent_size=written["latent_dim"],
    vae_encoder_layers=written["n_vae_encoder_layers"],
    backbone=written["vision_backbone"],
    backbone_norm="frozen",
    replace_final_stride_with_dilation=bool(
      written["replace_final_stride_with_dilation"]
    ),
  )
  config.loss.kl_weight = float(written["kl_weight"])
  mapping = written["normalization_mapping"]
  config.normalization.update(
    state=MODES[mapping["STATE"]],
    action=MODES[mapping["ACTION"]],
    images=MODES[mapping["VISUAL"]],
    minimum_std=0.0,  # ours alone
  )
  config.model.dropout = 0.0  # the sets were made without; masks differ
  return read_optimizer(config)


def read_optimizer(
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  groups = json.loads(
    (TRAINED.parent / "training_state/optimizer_param_groups.json").read_text()
  )
  train = json.loads((TRAINED / "train_config.json").read_text())
  config.optimizer.update(
    learning_rate=groups[0]["lr"],
    backbone_learning_rate=groups[-1]["lr"],
    weight_decay=groups[0]["weight_decay"],
    beta1=groups[0]["betas"][0],
    beta2=groups[0]["betas"][1],
    epsilon=groups[0]["eps"],
    clip_norm=float(train["optimizer"]["grad_clip_norm"]),
  )
  return config


@functools.cache
def case() -> Case:
  written = json.loads((FIXTURES / "step0/config.json").read_text())
  weights = arrays("step0/model.safetensors")
  config = read_config(written, weights)
  by_type: dict[str, list[tuple[str, list[int]]]] = {}
  for key, feature in written["input_features"].items():
    by_type.setdefault(feature["type"], []).append((key, feature["shape"]))
  cameras = [(key, (h, w, c)) for key, (c, h, w) in by_type.get("VISUAL", [])]
  vectors = {
    ours: by_type[kind][0]
    for ours, kind in (("state", "STATE"), ("environment_state", "ENV"))
    if kind in by_type
  }
  sizes = {f"{ours}_size": shape[0] for ours, (_, shape) in vectors.items()}
  spec = features.Features(
    images=tuple(cameras),
    action_size=written["output_features"]["action"]["shape"][0],
    **sizes,
  )
  abstract = model.abstract(config.model, spec)
  params, buffers = map(nnx.to_pure_dict, nnx.state(abstract, nnx.Param, ...))
  where = str(FIXTURES)
  return Case(
    config,
    spec,
    {ours: key for ours, (key, _) in vectors.items()},
    lerobot_names.to_tree(weights, params, where),
    lerobot_names.to_tree(weights, buffers, where),
  )


def close(
  ours: Any, theirs: np.ndarray, *, rtol: float = 1e-5, atol: float = 1e-5
) -> None:
  np.testing.assert_allclose(np.asarray(ours), theirs, rtol=rtol, atol=atol)


def as_torch(name: str, value: np.ndarray) -> np.ndarray:
  """Channels first for maps; tokens first for sequences."""
  if value.ndim == 4:
    return value.transpose(0, 3, 1, 2)
  return value.transpose(1, 0, 2) if value.ndim == 3 else value


def trace(
  network: model.ACT, batch: dict[str, Any], z: jax.Array
) -> dict[str, jax.Array]:
  """Returns every intermediate under the name of the fixtures."""
  found = {"latent_proj.0": network.latent_projection(z)}
  if "state" in batch and network.features.state_size:
    found["state_proj.0"] = network.state_projection(batch["state"])
  if network.features.environment_state_size:
    found["env_proj.0"] = network.environment_state_projection(
      batch["environment_state"]
    )
  for i, camera in enumerate(network.features.cameras):
    maps = network.backbone(batch["images"][camera])
    projected = network.image_projection(maps)
    found[f"backbone.{i}"], found[f"img_proj.{i}"] = maps, projected
    position = model.image_position(*projected.shape[1:])
    found[f"cam_pos.{i}"] = jnp.asarray(position)[None]
  x, position = network.tokens(batch, z)
  for i in range(network.encoder.layers):
    x = getattr(network.encoder, f"layer{i}")(x, position)
    found[f"encoder_layer{i}.0"] = x
  memory = network.encoder(*network.tokens(batch, z))
  found["encoder.0"] = memory
  queries = network.query_position[...][None]
  found["decoder.0"] = network.decoder(queries, memory, position)
  if hasattr(network, "vae_encoder"):
    found["vae_encoder.0"] = network.vae_encoder.encode(batch)
  return found


@functools.cache
def traced(train: bool) -> dict[str, np.ndarray]:
  one = case()
  size = len(arrays("inputs_normalised.npz")["action"])
  z = arrays("outputs_train.npz").get("latent") if train else None
  if z is None:
    z = np.zeros((size, one.config.model.latent_size), np.float32)

  @jax.jit
  def run(params: Any, buffers: Any, batch: Any, z: Any) -> Any:
    abstract = model.abstract(one.config.model, one.features)
    network = nnx.merge(nnx.graphdef(abstract), params, buffers)
    return trace(network, batch, z)

  batch = one.batch("inputs_normalised.npz")
  found = jax.device_get(run(one.params, one.buffers, batch, z))
  return {name: as_torch(name, value) for name, value in found.items()}


def intermediates(name: str) -> list[str]:
  return [key for key in arrays(name) if key.rpartition(".")[2].isdigit()]


@pytest.mark.parametrize("name", intermediates("outputs_eval.npz"))
def test_intermediate_of_evaluation(name: str) -> None:
  check_intermediate(name, train=False)


@pytest.mark.parametrize("name", intermediates("outputs_train.npz"))
def test_intermediate_of_training(name: str) -> None:
  check_intermediate(name, train=True)


def check_intermediate(name: str, train: bool) -> None:
  ours = traced(train)
  key = "env_proj.0" if name.startswith("env") else name
  if key not in ours:
    pytest.skip(f"'{name}' is no intermediate of this implementation")
  file = "outputs_train.npz" if train else "outputs_eval.npz"
  close(ours[key], arrays(file)[name])


def test_evaluation_matches() -> None:
  one = case()
  batch = one.batch("inputs_normalised.npz")
  run = jax.jit(lambda p, b, batch: one.apply(p, b, batch, False).actions)
  actions = run(one.params, one.buffers, batch)
  close(actions, arrays("outputs_eval.npz")["actions_normalised"])


def test_raw_inputs_match() -> None:
  """Normalising, predicting and unnormalising give LeRobot's numbers."""
  one = case()
  raw = one.batch("inputs_raw.npz")
  statistics = read_statistics(one)
  options = one.config.normalization
  ours = normalize.batch(raw, statistics, options)
  theirs = one.batch("inputs_normalised.npz")
  jax.tree.map(close, {name: ours[name] for name in theirs}, theirs)
  predict = functools.partial(
    learner.predict, one.config, one.features, statistics
  )
  actions = jax.jit(predict)(one.params, one.buffers, raw)
  close(actions, arrays("outputs_eval.npz")["actions_unnormalised"])


def read_statistics(one: Case) -> dict[str, Any]:
  """Reads the statistics of the preprocessor, under our feature names."""
  steps = json.loads((TRAINED / "policy_preprocessor.json").read_text())
  [file] = [s["state_file"] for s in steps["steps"] if "state_file" in s]
  stored = safetensors.numpy.load_file(TRAINED / file)
  names = {key: f"images/{key}" for key in one.features.cameras}
  names |= {key: ours for ours, key in one.keys.items()} | {"action": "action"}
  found: dict[str, Any] = {}
  for key, value in stored.items():
    feature, _, statistic = key.rpartition(".")
    if feature in names:
      block = found.setdefault(names[feature], {})
      block[statistic] = value.reshape(-1).tolist()
  return found


def train_output(params: dict[str, Any]) -> model.Output:
  one = case()
  noise = arrays("outputs_train.npz").get("eps")
  return one.apply(
    params,
    one.buffers,
    one.batch("inputs_normalised.npz"),
    True,
    latent_noise=None if noise is None else jnp.asarray(noise),
  )


@functools.cache
def first_output() -> model.Output:
  return jax.jit(train_output)(case().params)


def test_training_forward_matches() -> None:
  output, theirs = first_output(), arrays("outputs_train.npz")
  close(output.actions, theirs["actions_hat"])
  if case().config.model.use_vae:
    close(output.mu, theirs["mu"])
    close(output.log_sigma_x2, theirs["log_sigma_x2"])
    deviation = jnp.exp(output.log_sigma_x2 / 2.0)
    close(output.mu + deviation * theirs["eps"], theirs["latent"])


@pytest.mark.parametrize(
  ("reduction", "name"),
  [
    ("valid", "l1_loss_masked_mean_v06"),
    ("all", "l1_loss_plain_mean_original_and_v05"),
  ],
)
def test_loss_matches(reduction: str, name: str) -> None:
  one, theirs = case(), arrays("outputs_train.npz")
  config = one.config.copy_and_resolve_references()
  config.loss.reduction = reduction
  batch = one.batch("inputs_normalised.npz")
  total, parts = learner.loss(config, first_output(), batch)
  close(parts["l1"], theirs[name])
  expected = theirs[name]
  if config.model.use_vae:
    close(parts["kld"], theirs["kld_loss"])
    expected = expected + config.loss.kl_weight * theirs["kld_loss"]
  close(total, expected)
  if reduction == "valid":
    close(total, theirs["loss_v06"])


@functools.cache
def loss_and_gradients() -> Any:
  one = case()
  batch = one.batch("inputs_normalised.npz")

  def loss_of(params: dict[str, Any]) -> jax.Array:
    return learner.loss(one.config, train_output(params), batch)[0]

  return jax.jit(jax.value_and_grad(loss_of))


@functools.cache
def first_gradients() -> dict[str, Any]:
  return jax.device_get(loss_and_gradients()(case().params)[1])


def flat(tree: dict[str, Any]) -> dict[str, np.ndarray]:
  """Returns the arrays of a tree under LeRobot's keys, in our layout."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {
    lerobot_names.key("/".join(part.key for part in path)): np.asarray(leaf)
    for path, leaf in leaves
  }


def test_gradients_cover_every_parameter() -> None:
  assert set(flat(first_gradients())) == set(arrays("grads.safetensors"))


@pytest.mark.parametrize("name", sorted(arrays("grads.safetensors")))
def test_gradient_matches(name: str) -> None:
  ours = flat(first_gradients())[name]
  theirs = flat(case().tree(arrays("grads.safetensors")))[name]
  # what is zero but for rounding (weights that read the empty queries)
  rounding = 1e-9 * float(arrays("outputs_train.npz")["grad_total_norm"])
  error = np.linalg.norm(ours - theirs)
  assert error <= 1e-4 * np.linalg.norm(theirs) + rounding
  worst = np.abs(ours - theirs).max()
  assert worst <= 1e-4 * np.abs(theirs).max() + rounding


def test_gradient_norms_match() -> None:
  written = json.loads((FIXTURES / "grad_norms.json").read_text())
  ours = flat(first_gradients())
  total = optimizer_norm(first_gradients())
  close(total, arrays("outputs_train.npz")["grad_total_norm"], rtol=1e-4)
  for name, norm in written["grad_l2_norms"].items():
    close(np.linalg.norm(ours[name]), norm, rtol=1e-4)
  assert not set(written["no_grad"]) & set(ours)


def optimizer_norm(tree: dict[str, Any]) -> float:
  return float(
    np.sqrt(sum(np.sum(np.square(x)) for x in jax.tree.leaves(tree)))
  )


@functools.cache
def trained() -> tuple[dict[str, Any], list[dict[str, float]]]:
  """Takes as many AdamW steps as the fixtures record."""
  one = case()
  update = jax.jit(functools.partial(optimizer.update, one.config))
  params, state = one.params, optimizer.init(one.config, one.params)
  history = []
  steps = [k for k in arrays("train_3_steps.npz") if k.startswith("loss_")]
  for step in range(len(steps)):
    value, gradients = loss_and_gradients()(params)
    params, state, metrics = update(jnp.int32(step), gradients, state, params)
    history.append({"loss": value, "grad_norm": metrics["gradient_norm"]})
  return jax.device_get(params), history


def test_training_steps_match() -> None:
  theirs = arrays("train_3_steps.npz")
  for step, values in enumerate(trained()[1]):
    for name, value in values.items():
      close(value, theirs[f"{name}_{step}"], rtol=1e-5)


def test_trained_parameters_match() -> None:
  one = case()
  weights = safetensors.numpy.load_file(TRAINED / "model.safetensors")
  theirs, ours = flat(one.tree(weights)), flat(trained()[0])
  gradients = flat(one.tree(arrays("grads.safetensors")))
  total = float(arrays("outputs_train.npz")["grad_total_norm"])
  rates = one.config.optimizer
  for name, gradient in gradients.items():
    group = "backbone_" if name.startswith("model.backbone.") else ""
    way = len(trained()[1]) * rates[f"{group}learning_rate"]
    # Adam moves every weight by its rate, however small the gradient: where the
    # gradient is rounding alone, so is the direction.
    rounding = 1e-6 * np.abs(gradient).max() + 1e-9 * total
    doubt = np.minimum(2.0, rounding / np.maximum(np.abs(gradient), 1e-30))
    error = np.abs(ours[name] - theirs[name])
    limit = way * doubt + 3e-7 * np.abs(theirs[name]) + 1e-3 * way
    assert np.all(error <= limit), name


def test_outputs_after_training_match() -> None:
  one = case()
  batch = one.batch("inputs_normalised.npz")
  run = jax.jit(lambda p: one.apply(p, one.buffers, batch, False).actions)
  theirs = arrays("outputs_eval_after_3_steps.npz")["actions_normalised"]
  close(run(trained()[0]), theirs)


@pytest.mark.parametrize(
  "name", [k for k in arrays("temporal_ensemble.npz") if k.startswith("out_")]
)
def test_temporal_ensemble_matches(name: str) -> None:
  chunks = arrays("temporal_ensemble.npz")["chunks"]
  state = ensembling.init(*chunks.shape[1:])
  for step, chunk in enumerate(chunks):
    state, action = ensembling.update(
      state, chunk, float(name.removeprefix("out_"))
    )
    close(action, arrays("temporal_ensemble.npz")[name][step])


def test_every_stored_tensor_has_a_place() -> None:
  one = case()
  ours = set(flat(one.params)) | set(flat(one.buffers))
  table = arrays("step0/model.safetensors").get("model.vae_encoder_pos_enc")
  if table is not None:  # recomputed, not stored
    ours.add("model.vae_encoder_pos_enc")
    close(model.sinusoid_table(*table.shape[1:]), table[0], atol=1e-7)
  assert set(arrays("step0/model.safetensors")) == ours
