"""One update of DreamerV3: loss, gradient, LaProp, slow critic.

Pure functions of a `TrainState` and a batch. Source: `loss` and `train` of
dreamerv3/agent.py. Axes: B batch, T time, H imagined steps, S C latent.

A batch holds the observation keys [B, T, ...], `reward`, `is_first`, `is_last`,
`is_terminal` [B, T], `previous_action` {key: [B, T, ...]} and `start`, the
`rssm.Latent` before its first step.
"""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import config_dict

from dreamer import agent as agent_lib
from dreamer import behavior, noise, optim, world_model
from dreamer import spaces as spaces_lib

Tree = dict[str, Any]
FLAGS = ("is_first", "is_last", "is_terminal")


class Spec(NamedTuple):
  """What the networks are for; `control_hz` is None where nobody knows."""

  observations: dict[str, spaces_lib.Space]
  actions: dict[str, spaces_lib.Space]
  control_hz: float | None = None


@flax.struct.dataclass
class TrainState:
  """All that an update changes."""

  step: Any  # int32 []
  params: Any
  slow_critic: Any
  return_range: Any
  optimizer: Any


def make_agent(
  config: config_dict.ConfigDict, spec: Spec
) -> tuple[nnx.GraphDef, Tree]:
  """Returns the networks as a graph and their initial parameters."""
  graph, state = nnx.split(_build(config, spec))
  return graph, nnx.to_pure_dict(state)


def make_graph(config: config_dict.ConfigDict, spec: Spec) -> nnx.GraphDef:
  """Returns the graph alone, for parameters from elsewhere."""
  return nnx.graphdef(nnx.eval_shape(lambda: _build(config, spec)))


def _build(config: config_dict.ConfigDict, spec: Spec) -> agent_lib.Agent:
  rngs = nnx.Rngs(config.seed)
  return agent_lib.Agent(config, spec.observations, spec.actions, rngs)


def merge(graph: nnx.GraphDef, params: Tree) -> agent_lib.Agent:
  """Returns the networks with these parameters."""
  return nnx.merge(graph, params)


def init_state(
  config: config_dict.ConfigDict, spec: Spec
) -> tuple[nnx.GraphDef, TrainState]:
  """Returns the networks' graph and the state before the first update."""
  graph, params = make_agent(config, spec)
  state = TrainState(
    step=jnp.int32(0),
    params=params,
    slow_critic=jax.tree.map(jnp.copy, params["critic"]),
    return_range=behavior.ReturnRange.initial(),
    optimizer=optim.make_optimizer(config.optimizer).init(params),
  )
  return graph, state


def loss(
  config: config_dict.ConfigDict,
  spec: Spec,
  graph: nnx.GraphDef,
  params: Tree,
  slow_critic: Tree,
  return_range: behavior.ReturnRange,
  batch: Tree,
  draws: noise.Draws,
  sample: Any = noise.sample_actions,
) -> tuple[Float[Array, ""], Tree]:
  """Returns the total loss, and what else is known then.

  The second holds `losses` {name: [B, T]}, unscaled; `metrics`; `latent`, to be
  written back to the replay; `return_range`, updated.

  Args:
    config: the whole configuration.
    spec: observation and action spaces.
    graph: of `make_agent`.
    params: trained parameters.
    slow_critic: parameters like those of the critic.
    return_range: percentiles so far.
    batch: see the top of this file.
    draws: of `noise.draw`.
    sample: (distributions, noise) -> actions; tests put recorded ones there.
  """
  agent = merge(graph, params)
  slow = merge(graph, {**params, "critic": slow_critic}).critic
  latent, losses, metrics = world_model.losses(
    config, spec.observations, agent, batch, draws.posterior
  )
  b, t = batch["is_first"].shape
  # Nothing is learned through imagination: no residuals, no backward pass.
  fixed = merge(graph, jax.lax.stop_gradient(params))
  feature, first, actions = world_model.imagine(
    config, fixed, latent, draws, sample
  )
  found, outcome, more = behavior.imagination_losses(
    config,
    actions,
    fixed.reward(feature).mean(),
    fixed.continuation(feature).prob(),
    agent.actor(feature, first),
    agent.critic(feature),
    slow(feature),
    return_range,
  )
  losses |= {
    name: jnp.mean(value, axis=0).reshape((b, t))
    for name, value in found.items()
  }
  metrics |= more
  if config.repval_loss:
    real = latent.feature
    if not config.repval_grad:
      real = jax.lax.stop_gradient(real)
    losses["repval"] = behavior.replay_loss(
      config,
      batch["is_last"].astype(jnp.float32),
      batch["is_terminal"].astype(jnp.float32),
      batch["reward"],
      outcome.returns[0].reshape((b, t)),
      agent.critic(real),
      slow(real),
    )
  scales = config.loss_scales
  total = sum(
    jnp.mean(value)
    * jnp.float32(scales.rec if name in spec.observations else scales[name])
    for name, value in losses.items()
  )
  metrics |= {f"loss/{name}": jnp.mean(x) for name, x in losses.items()}
  known = {"losses": losses, "metrics": metrics, "latent": latent}
  return total, known | {"return_range": outcome.range}


def train_step(
  config: config_dict.ConfigDict,
  spec: Spec,
  graph: nnx.GraphDef,
  state: TrainState,
  batch: Tree,
  draws: noise.Draws | None = None,
  sample: Any = noise.sample_actions,
) -> tuple[TrainState, Tree]:
  """Returns the state after one update, and `loss`'s second result.

  Randomness is folded from the step, unless `draws` are given.
  """
  if draws is None:
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    b, t = batch["is_first"].shape
    draws = noise.draw(config, spec.actions, b, t, key)

  def objective(params: Tree) -> tuple[Float[Array, ""], Tree]:
    return loss(
      config,
      spec,
      graph,
      params,
      state.slow_critic,
      state.return_range,
      batch,
      draws,
      sample,
    )

  (total, known), grads = jax.value_and_grad(objective, has_aux=True)(
    state.params
  )
  optimizer = optim.make_optimizer(config.optimizer)
  updates, optimizer_state = optimizer.update(
    grads, state.optimizer, state.params
  )
  params = optax.apply_updates(state.params, updates)
  known["metrics"] |= {
    "opt/loss": total,
    "opt/grad_norm": optax.tree.norm(grads),
  }
  known["gradients"] = grads
  after = TrainState(
    step=state.step + 1,
    params=params,
    slow_critic=follow(
      config.slow_critic, state.step, state.slow_critic, params["critic"]
    ),
    return_range=known.pop("return_range"),
    optimizer=optimizer_state,
  )
  return after, known


def follow(
  config: config_dict.ConfigDict, count: Array, slow: Tree, fast: Tree
) -> Tree:
  """Returns the slow critic, moved where `count` is a multiple of `every`."""
  due = jnp.float32(count % config.every == 0)
  rate = due * jnp.float32(config.rate)
  return jax.tree.map(lambda s, f: rate * f + (1 - rate) * s, slow, fast)
