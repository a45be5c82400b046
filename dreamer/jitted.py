"""Environment, acting, replay and updates in one compiled program.

For environments written in JAX: a module with `reset(key)` and
`step(state, action, key)` of one environment, such as `carnet.envs.catch`. Its
timestep has `reward`, `is_first`, `is_last`, `is_terminal` and observation keys
as attributes. Axes: E environments, B batch, T time.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array
from ml_collections import config_dict

from dreamer import agent as agent_lib
from dreamer import context, device_replay, learner, noise, rssm

Tree = dict[str, Any]
_FLAGS = ("is_first", "is_last", "is_terminal")


class Program(NamedTuple):
  """What the compiled functions close over."""

  config: config_dict.ConfigDict
  spec: learner.Spec
  graph: nnx.GraphDef
  environment: Any


@flax.struct.dataclass
class LoopState:
  """Everything that changes: a checkpoint of it resumes exactly."""

  train: learner.TrainState
  environments: Any
  timestep: Any
  latent: rssm.Latent
  action: Any
  replay: device_replay.DeviceReplay
  env_steps: Any  # int32 [], of each environment
  returns: Any  # [E], of the episodes in progress


def init(
  config: config_dict.ConfigDict, spec: learner.Spec, environment: Any
) -> tuple[Program, LoopState]:
  """Returns the program and the state before its first step."""
  graph, train = learner.init_state(config, spec)
  program = Program(config, spec, graph, environment)
  count = config.loop.environments
  keys = jax.random.split(jax.random.key(config.seed + 1), count)
  environments, timestep = jax.vmap(environment.reset)(keys)
  agent = learner.merge(graph, train.params)
  latent = agent.rssm.initial(count)
  action = {
    name: jnp.zeros((count, *space.shape), _action_dtype(space.classes))
    for name, space in spec.actions.items()
  }
  step = _record(program, timestep, action, latent)
  replay = device_replay.create(config.loop.capacity // count, step)
  state = LoopState(
    train,
    environments,
    timestep,
    latent,
    action,
    replay,
    jnp.int32(0),
    jnp.zeros(count, jnp.float32),
  )
  return program, state


def iterate(program: Program, state: LoopState) -> tuple[LoopState, Tree]:
  """Returns the state after `loop.steps` steps of each environment, and as many
  updates as the ratio asks for; and metrics.

  The mean return of episodes that ended meanwhile is NaN when none did.
  """
  loop = program.config.loop
  state, (ended, returns) = jax.lax.scan(
    lambda carry, _: act(program, carry), state, length=loop.steps
  )
  count = jnp.sum(ended, dtype=jnp.float32)
  metrics = {
    "episode/return": jnp.sum(jnp.where(ended, returns, 0)) / count,
    "episode/count": count,
  }
  state, losses = jax.lax.scan(
    lambda carry, _: update(program, carry), state, length=loop.updates
  )
  return state, metrics | jax.tree.map(jnp.mean, losses)


def act(
  program: Program, state: LoopState
) -> tuple[LoopState, tuple[Array, Array]]:
  """Steps every environment once; returns which episodes ended, and returns."""
  config = program.config
  agent = learner.merge(program.graph, state.train.params)
  key = jax.random.fold_in(jax.random.key(config.seed + 2), state.env_steps)
  latent_key, action_key, environment_key = jax.random.split(key, 3)
  count = state.timestep.reward.shape[0]
  observation = _observation(program, state.timestep)
  gumbel = jax.random.gumbel(latent_key, state.latent.stoch.shape)
  latent, _ = agent.rssm.observe_step(
    state.latent,
    agent.action_vector(state.action),
    agent.encoder(observation),
    state.timestep.is_first,
    gumbel,
  )
  policy = agent.actor(latent.feature)
  drawn = noise.draw_actions(program.spec.actions, (count,), action_key)
  action = noise.sample_actions(policy, drawn)
  step = _record(program, state.timestep, action, latent)
  keys = jax.random.split(environment_key, count)
  environments, timestep = jax.vmap(program.environment.step)(
    state.environments, *_plain(action), keys
  )
  returns = jnp.where(
    timestep.is_first, 0, state.returns + timestep.reward
  ).astype(jnp.float32)
  after = dataclasses.replace(
    state,
    environments=environments,
    timestep=timestep,
    latent=latent,
    action=action,
    replay=device_replay.add(state.replay, step),
    env_steps=state.env_steps + 1,
    returns=returns,
  )
  return after, (timestep.is_last, returns)


def update(program: Program, state: LoopState) -> tuple[LoopState, Tree]:
  """Trains on one batch of replayed sequences; returns its losses."""
  config = program.config
  key = jax.random.fold_in(jax.random.key(config.seed + 3), state.train.step)
  length = config.batch_length + config.replay_context
  found, places = device_replay.sample(
    state.replay, config.batch_size, length, key
  )
  batch = make_batch(config, program.spec, found)
  train, known = learner.train_step(
    config, program.spec, program.graph, state.train, batch
  )
  latent = known["latent"]
  times, rows = places
  replay = device_replay.write_back(
    state.replay,
    (times[:, config.replay_context :], rows),
    {"deter": latent.deter, "stoch": latent.stoch},
  )
  after = dataclasses.replace(state, train=train, replay=replay)
  return after, known["metrics"]


def make_batch(
  config: config_dict.ConfigDict, spec: learner.Spec, found: Mapping[str, Any]
) -> Tree:
  """Returns what the loss sees of sequences [B, K + T, ...].

  Of the K context steps, the stored latent of the last is the start: sequences
  are drawn anew each time, so none goes on from the batch before.
  """
  names = (*spec.observations, *_FLAGS, "reward")
  stored = rssm.Latent(found["deter"], found["stoch"].astype(jnp.float32))
  first = jax.tree.map(lambda x: x[:, 0], stored)
  return context.apply(
    config.replay_context,
    {name: found[name] for name in names},
    {name: found["action"][name] for name in spec.actions},
    stored,
    jnp.zeros(found["reward"].shape[0], jnp.int32),
    first,
  )


def _record(
  program: Program, timestep: Any, action: Tree, latent: rssm.Latent
) -> Tree:
  """Returns what the replay keeps of a step."""
  step = _observation(program, timestep)
  step |= {name: getattr(timestep, name) for name in (*_FLAGS, "reward")}
  stoch = latent.stoch.astype(jnp.uint8)  # one-hot
  return step | {"action": action, "deter": latent.deter, "stoch": stoch}


def _observation(program: Program, timestep: Any) -> Tree:
  return {n: getattr(timestep, n) for n in program.spec.observations}


def _plain(action: Tree) -> tuple[Any]:
  """Returns the action as an environment takes it: bare if there is one."""
  return (action["action"] if list(action) == ["action"] else action,)


def _action_dtype(classes: int) -> Any:
  return jnp.int32 if classes else jnp.float32


def evaluate(
  program: Program, state: LoopState, steps: int
) -> tuple[Array, Array]:
  """Returns the mean return of the episodes of `steps` steps, and how many.

  Sampled actions, as the original evaluates; nothing is learned.
  """
  count = state.returns.shape[0]
  keys = jax.random.split(jax.random.key(program.config.seed + 4), count)
  environments, timestep = jax.vmap(program.environment.reset)(keys)
  agent: agent_lib.Agent = learner.merge(program.graph, state.train.params)
  fresh = dataclasses.replace(
    state,
    environments=environments,
    timestep=timestep,
    latent=agent.rssm.initial(count),
    returns=jnp.zeros_like(state.returns),
  )
  _, (ended, returns) = jax.lax.scan(
    lambda carry, _: act(program, carry), fresh, length=steps
  )
  episodes = jnp.sum(ended, dtype=jnp.float32)
  return jnp.sum(jnp.where(ended, returns, 0)) / episodes, episodes
