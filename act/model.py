"""ACT, action chunking with transformers (Zhao et al. 2023), as in LeRobot.

    images -> backbone --\
    state ---------------+-> encoder -> memory -> decoder -> actions [B, K, A]
    latent z ------------/                          ^
       ^                                 K learned query positions
    VAE encoder(state, actions), in training; z = 0 otherwise

Axes: B samples, K chunk, A action, Q state, E environment state, T tokens,
D width, Z latent, N images, H W pixels. Attribute names are the public paths of
the parameters.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import config_dict

from act import dropout as dropout_lib
from act import features as features_lib
from act import noise as noise_lib
from act import resnet, transformer
from carnet import errors


class Output(NamedTuple):
  """Normalised actions, and the posterior of the latent where one was made."""

  actions: Float[Array, "B K A"]
  mu: Float[Array, "B Z"] | None
  log_sigma_x2: Float[Array, "B Z"] | None


def check(config: config_dict.ConfigDict) -> None:
  """Raises UserError where `config.model` asks for what cannot be built."""
  choices = {
    "activation": tuple(transformer.ACTIVATIONS),
    "backbone": resnet.BACKBONES,
    "backbone_norm": resnet.NORMS,
  }
  for key, known in choices.items():
    if config[key] not in known:
      raise errors.unknown(f"model.{key}", config[key], known)
  if config.width % config.heads or config.width % 4:
    raise errors.UserError(
      f"model.width={config.width} must be a multiple of model.heads="
      f"{config.heads} and of 4"
    )
  if len(config.backbone_widths) != 4:
    raise errors.UserError(
      f"model.backbone_widths={config.backbone_widths} must name four channels"
    )
  if not 0.0 <= config.dropout < 1.0:
    raise errors.UserError(f"model.dropout={config.dropout} must be in [0, 1)")
  if not 1 <= config.n_action_steps <= config.chunk_size:
    raise errors.UserError(
      f"model.n_action_steps={config.n_action_steps} must be from 1 to "
      f"model.chunk_size={config.chunk_size}: set both"
    )
  _check_norms(config)


def _check_norms(config: config_dict.ConfigDict) -> None:
  frozen = config.backbone_norm == "frozen"
  if config.backbone_weights and not frozen:
    raise errors.UserError(
      "model.backbone_weights were trained with batch norms: set "
      'model.backbone_norm="frozen" to keep these, or no backbone_weights'
    )
  if config.backbone == "small" and frozen:
    raise errors.UserError(
      'model.backbone="small" has no pretrained weights, so frozen norms would '
      'leave it unnormalised: set model.backbone_norm="group"'
    )
  dilates = (
    config.backbone in resnet.RESNETS and resnet.RESNETS[config.backbone][1]
  )
  if config.replace_final_stride_with_dilation and not dilates:
    raise errors.UserError(
      f"model.backbone={config.backbone!r} cannot dilate: "
      "replace_final_stride_with_dilation needs resnet50 or deeper"
    )


def sinusoid_table(length: int, width: int) -> Float[np.ndarray, "T D"]:
  """Returns sin (even) and cos (odd) of t / 10000^(2 floor(i/2) / D)."""
  i = np.arange(width)
  angle = np.arange(length)[:, None] / 10000.0 ** (2 * (i // 2) / width)
  return np.where(i % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


def image_position(
  height: int, width: int, channels: int
) -> Float[np.ndarray, "h w D"]:
  """Returns the 2D sinusoid of DETR: first half rows, second half columns."""
  half = channels // 2

  def axis(length: int) -> np.ndarray:
    place = np.arange(1, length + 1, dtype=np.float32)
    place = place / (place[-1] + np.float32(1e-6)) * np.float32(2 * math.pi)
    i = np.arange(half)
    power = (2 * (i // 2) / half).astype(np.float32)
    angle = place[:, None] / np.float32(10000) ** power
    return np.where(i % 2 == 0, np.sin(angle), np.cos(angle))

  shape = (height, width, half)
  rows = np.broadcast_to(axis(height)[:, None], shape)
  columns = np.broadcast_to(axis(width)[None, :], shape)
  return np.concatenate([rows, columns], axis=-1).astype(np.float32)


class VAEEncoder(nnx.Module):
  """Reads state and actions, in training; returns the posterior of z."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    features: features_lib.Features,
    noise: noise_lib.Noise,
  ):
    """`config` is `config.model`."""
    width = config.width
    self.summary_token = nnx.Param(noise.normal((1, width)))
    if features.state_size:
      self.state_projection = transformer.Linear(
        features.state_size, width, noise
      )
    self.action_projection = transformer.Linear(
      features.action_size, width, noise
    )
    self.encoder = _encoder(
      config, config.vae_encoder_layers, noise, xavier=False
    )
    self.latent_projection = transformer.Linear(
      width, 2 * config.latent_size, noise
    )

  def encode(
    self,
    batch: dict[str, Any],
    dropout: dropout_lib.Dropout | None = None,
  ) -> Float[Array, "B T D"]:
    """Returns the encoded tokens: summary, state if any, actions."""
    actions = self.action_projection(batch["actions"])
    size, _, width = actions.shape
    summary = self.summary_token[...][None].astype(actions.dtype)
    tokens = [jnp.broadcast_to(summary, (size, 1, width))]
    if hasattr(self, "state_projection"):
      tokens.append(self.state_projection(batch["state"])[:, None])
    heads = jnp.zeros((size, len(tokens)), bool)  # these are never padding
    is_pad = jnp.concatenate([heads, batch["is_pad"]], axis=1)
    x = jnp.concatenate([*tokens, actions], axis=1)
    position = jnp.asarray(sinusoid_table(x.shape[1], width), x.dtype)[None]
    return self.encoder(x, position, is_pad, dropout)

  def __call__(
    self,
    batch: dict[str, Any],
    dropout: dropout_lib.Dropout | None = None,
  ) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
    """Returns mu and log sigma^2, in float32."""
    summary = self.encode(batch, dropout)[:, 0]
    both = self.latent_projection(summary).astype(jnp.float32)
    mu, log_sigma_x2 = jnp.split(both, 2, axis=-1)
    return mu, log_sigma_x2


def _encoder(
  config: config_dict.ConfigDict,
  layers: int,
  noise: noise_lib.Noise,
  *,
  xavier: bool,
) -> transformer.Encoder:
  return transformer.Encoder(
    layers,
    config.width,
    config.heads,
    config.feedforward,
    config.activation,
    config.pre_norm,
    noise,
    xavier=xavier,
  )


def abstract(
  config: config_dict.ConfigDict, features: features_lib.Features
) -> "ACT":
  """Returns the network of `config.model` with shapes in place of arrays."""
  return nnx.eval_shape(
    lambda: ACT(config, features, noise_lib.Noise(jax.random.key(0)))
  )


class ACT(nnx.Module):
  """The policy network, on normalised batches."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    features: features_lib.Features,
    noise: noise_lib.Noise,
  ):
    """`config` is `config.model`; UserError where it cannot be built."""
    check(config)
    width = config.width
    self.features = features
    self.dropout = config.dropout
    self.latent_size = config.latent_size
    self.latent_projection = transformer.Linear(
      config.latent_size, width, noise
    )
    vectors = 1
    if features.state_size:
      vectors += 1
      self.state_projection = transformer.Linear(
        features.state_size, width, noise
      )
    if features.environment_state_size:
      vectors += 1
      self.environment_state_projection = transformer.Linear(
        features.environment_state_size, width, noise
      )
    self.vector_position = nnx.Param(noise.normal((vectors, width)))
    if features.images:
      self.backbone = resnet.make(
        config.backbone,
        config.backbone_widths,
        config.backbone_norm,
        dilate_last=config.replace_final_stride_with_dilation,
        noise=noise,
      )
      self.image_projection = transformer.Linear(
        self.backbone.channels, width, noise
      )
    self.encoder = _encoder(config, config.encoder_layers, noise, xavier=True)
    self.query_position = nnx.Param(noise.normal((config.chunk_size, width)))
    self.decoder = transformer.Decoder(
      config.decoder_layers,
      width,
      config.heads,
      config.feedforward,
      config.activation,
      config.pre_norm,
      noise,
    )
    self.action_head = transformer.Linear(width, features.action_size, noise)
    if config.use_vae:
      self.vae_encoder = VAEEncoder(config, features, noise)

  def __call__(
    self,
    batch: dict[str, Any],
    *,
    train: bool,
    key: jax.Array | None = None,
    latent_noise: Float[Array, "B Z"] | None = None,
  ) -> Output:
    """Predicts a chunk of actions for every sample of a normalised batch.

    In training the latent comes from the VAE encoder, with the noise of `key`
    unless `latent_noise` is given, and entries are dropped, with `key` (without
    it none are). Otherwise z = 0, as in the original.
    """
    dropout, mu, log_sigma_x2 = None, None, None
    if train and key is not None and self.dropout > 0.0:
      dropout = dropout_lib.Dropout(self.dropout, jax.random.fold_in(key, 0))
    z = self.no_latent(batch)
    if train and hasattr(self, "vae_encoder"):
      mu, log_sigma_x2 = self.vae_encoder(batch, dropout)
      if latent_noise is None:
        assert key is not None, "training samples z: give key or noise"
        latent_noise = jax.random.normal(jax.random.fold_in(key, 1), mu.shape)
      sample = mu + jnp.exp(log_sigma_x2 / 2.0) * latent_noise
      z = sample.astype(z.dtype)
    tokens, position = self.tokens(batch, z)
    memory = self.encoder(tokens, position, None, dropout)
    actions = self.decode(memory, position, dropout)
    return Output(actions.astype(jnp.float32), mu, log_sigma_x2)

  def no_latent(self, batch: dict[str, Any]) -> Float[Array, "B Z"]:
    """Returns the latent of evaluation, zeros, one for every sample."""
    vectors = ("state", "environment_state")
    given = [batch[name] for name in vectors if name in batch]
    sample = [*batch.get("images", {}).values(), *given][0]
    return jnp.zeros((sample.shape[0], self.latent_size), sample.dtype)

  def tokens(
    self, batch: dict[str, Any], z: Float[Array, "B Z"]
  ) -> tuple[Float[Array, "B T D"], Float[Array, "1 T D"]]:
    """Returns tokens and positions: latent, state, environment, images."""
    vectors = [self.latent_projection(z)]
    if self.features.state_size:
      vectors.append(self.state_projection(batch["state"]))
    if self.features.environment_state_size:
      vectors.append(
        self.environment_state_projection(batch["environment_state"])
      )
    tokens, positions = [jnp.stack(vectors, 1)], [self.vector_position[...]]
    if self.features.images:
      for maps in self.image_maps(batch["images"]):
        size, height, width, channels = maps.shape
        tokens.append(maps.reshape(size, height * width, channels))
        table = image_position(height, width, channels)
        positions.append(jnp.asarray(table, maps.dtype).reshape(-1, channels))
    return jnp.concatenate(tokens, 1), jnp.concatenate(positions)[None]

  def image_maps(
    self, images: dict[str, Float[Array, "B H W 3"]]
  ) -> list[Float[Array, "B h w D"]]:
    """Returns projected feature maps in camera order.

    Cameras of one size go through the backbone together.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for camera in self.features.cameras:
      groups.setdefault(images[camera].shape, []).append(camera)
    maps: dict[str, jax.Array] = {}
    for cameras in groups.values():
      stacked = jnp.concatenate([images[camera] for camera in cameras])
      projected = self.image_projection(self.backbone(stacked))
      maps.update(zip(cameras, jnp.split(projected, len(cameras)), strict=True))
    return [maps[camera] for camera in self.features.cameras]

  def decode(
    self,
    memory: Float[Array, "B T D"],
    position: Float[Array, "1 T D"],
    dropout: dropout_lib.Dropout | None = None,
  ) -> Float[Array, "B K A"]:
    """Returns the actions that the queries read from `memory`."""
    queries = self.query_position[...][None]
    return self.action_head(self.decoder(queries, memory, position, dropout))
