"""One training step of ACT: loss, gradient, clip and AdamW, all pure functions.

Axes: B samples, K chunk, A action, H W pixels. A batch is
`{"images": {camera: uint8 [B, H, W, 3]}, "state": [B, Q], "environment_state":
[B, E], "actions": [B, K, A], "is_pad": bool [B, K]}`, raw values; parts that
`features` lacks are absent.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import config_dict

from act import (
  augmentation,
  model,
  noise,
  normalize,
  optimizer,
  pretrained,
)
from act import features as features_lib
from carnet import errors

Tree = dict[str, Any]
REDUCTIONS = ("valid", "all")


@flax.struct.dataclass
class TrainState:
  """All that a training step changes, and the constants it needs."""

  # Any: during tree operations the leaves are specs, shardings or None too
  step: Any  # int32 []
  params: Any
  buffers: Any
  optimizer: Any


def init_state(
  config: config_dict.ConfigDict, features: features_lib.Features
) -> TrainState:
  """Returns the state at step 0, drawn from `config.seed`.

  Loads `config.model.backbone_weights` where given; UserError where the model
  cannot be built or the weights do not fit it.
  """
  model.check(config.model)
  check_loss(config)

  @jax.jit
  def init() -> tuple[Tree, Tree]:
    seeded = noise.Noise(jax.random.key(config.seed))
    network = model.ACT(config.model, features, seeded)
    params, buffers = nnx.state(network, nnx.Param, ...)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(buffers)

  params, buffers = init()
  if config.model.backbone_weights and features.images:
    backbone, statistics = pretrained.load(
      config.model.backbone_weights,
      params["backbone"],
      buffers["backbone"],
    )
    params = {**params, "backbone": backbone}
    buffers = {**buffers, "backbone": statistics}
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    buffers=buffers,
    optimizer=optimizer.init(config, params),
  )


def train_step(
  config: config_dict.ConfigDict,
  features: features_lib.Features,
  statistics: dict[str, Any],
  state: TrainState,
  batch: dict[str, Any],
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
  """Returns the next state and the metrics of this one.

  Pure: all randomness is folded from `config.seed` and `state.step`. Metrics:
  loss, l1, kld (with VAE), gradient_norm (before clipping), learning_rate.
  """
  seed = jax.random.key(config.seed)
  network_key = jax.random.fold_in(seed, state.step)
  # the network folds 0 and 1 from its key
  augmentation_key = jax.random.fold_in(network_key, 2)
  batch = augmentation.batch(batch, augmentation_key, config.augmentation)
  batch = normalize.batch(batch, statistics, config.normalization)

  def loss_of(params: Tree) -> tuple[jax.Array, dict[str, jax.Array]]:
    output = apply(
      config, features, params, state.buffers, batch, True, network_key
    )
    return loss(config, output, batch)

  gradients, metrics = jax.grad(loss_of, has_aux=True)(state.params)
  params, optimizer_state, optimizer_metrics = optimizer.update(
    config, state.step, gradients, state.optimizer, state.params
  )
  following = TrainState(
    step=state.step + jnp.ones((), jnp.int32),
    params=params,
    buffers=state.buffers,
    optimizer=optimizer_state,
  )
  return following, {**metrics, **optimizer_metrics}


def validation_step(
  config: config_dict.ConfigDict,
  features: features_lib.Features,
  statistics: dict[str, Any],
  state: TrainState,
  batch: dict[str, Any],
) -> dict[str, Float[Array, ""]]:
  """Returns l1 of a held-out batch with z = 0, as LeRobot does."""
  batch = normalize.batch(batch, statistics, config.normalization)
  output = apply(config, features, state.params, state.buffers, batch, False)
  return {"l1": l1_loss(config, output.actions, batch)}


def predict(
  config: config_dict.ConfigDict,
  features: features_lib.Features,
  statistics: dict[str, Any],
  params: Tree,
  buffers: Tree,
  observation: dict[str, Any],
) -> Float[Array, "B K A"]:
  """Returns chunks of actions in the units of the data, for raw inputs."""
  batch = normalize.batch(observation, statistics, config.normalization)
  output = apply(config, features, params, buffers, batch, False)
  return normalize.actions_inverse(
    output.actions, statistics, config.normalization
  )


def apply(
  config: config_dict.ConfigDict,
  features: features_lib.Features,
  params: Tree,
  buffers: Tree,
  batch: dict[str, Any],
  train: bool,
  key: jax.Array | None = None,
  latent_noise: Float[Array, "B Z"] | None = None,
) -> model.Output:
  """Runs the network on a normalised batch, in the precision of the device.

  bfloat16 on accelerators, float32 on CPUs; parameters stay float32.
  """
  graph = nnx.graphdef(model.abstract(config.model, features))
  dtype = compute_dtype()
  # frozen statistics are folded in float32, whatever the network runs in
  network = nnx.merge(graph, _cast(params, dtype), buffers)
  return network(
    _cast(batch, dtype), train=train, key=key, latent_noise=latent_noise
  )


def compute_dtype() -> jnp.dtype:
  """Returns the precision of the network's arithmetic on this device."""
  on_cpu = jax.default_backend() == "cpu"
  return jnp.dtype(jnp.float32 if on_cpu else jnp.bfloat16)


def _cast(tree: Any, dtype: jnp.dtype) -> Any:
  return jax.tree.map(
    lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x,
    tree,
  )


def loss(
  config: config_dict.ConfigDict, output: model.Output, batch: dict[str, Any]
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
  """Returns l1 + kl_weight kld, and its parts.

  kld is -1/2 sum_Z(1 + log sigma^2 - mu^2 - sigma^2), averaged over samples.
  """
  l1 = l1_loss(config, output.actions, batch)
  if output.mu is None or output.log_sigma_x2 is None:
    return l1, {"loss": l1, "l1": l1}
  mu, log_sigma_x2 = output.mu, output.log_sigma_x2
  terms = 1.0 + log_sigma_x2 - jnp.square(mu) - jnp.exp(log_sigma_x2)
  kld = -0.5 * jnp.mean(jnp.sum(terms, axis=-1))
  total = l1 + config.loss.kl_weight * kld
  return total, {"loss": total, "l1": l1, "kld": kld}


def check_loss(config: config_dict.ConfigDict) -> None:
  """Raises UserError for a reduction that does not exist."""
  if config.loss.reduction not in REDUCTIONS:
    raise errors.unknown("loss.reduction", config.loss.reduction, REDUCTIONS)


def l1_loss(
  config: config_dict.ConfigDict,
  actions: Float[Array, "B K A"],
  batch: dict[str, Any],
) -> Float[Array, ""]:
  """Returns the mean absolute error; padded actions never have one.

  They do count in the mean with `config.loss.reduction` "all" (the original and
  LeRobot up to 0.5), not with "valid" (LeRobot from 0.6).
  """
  valid = ~batch["is_pad"][..., None]
  error = jnp.where(valid, jnp.abs(actions - batch["actions"]), 0.0)
  if config.loss.reduction == "all":
    return jnp.mean(error)
  elements = jnp.sum(valid, dtype=jnp.float32) * actions.shape[-1]
  # a batch of padding alone has no error
  return jnp.sum(error) / jnp.maximum(elements, 1.0)
