"""Environment, acting, replay and updates in one compiled program.

For environments written in JAX: a module or object with `reset(key)` and
`step(state, action, key)` of one environment, such as `carnet.envs.catch`. Its
timestep has `reward`, `is_first`, `is_last`, `is_terminal` and observation keys
as attributes. Axes: E environments.
"""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array
from ml_collections import config_dict

from dreamer import device_replay, learner, policy, updates

Tree = dict[str, Any]


class Program(NamedTuple):
  """What the compiled functions close over."""

  config: config_dict.ConfigDict
  spec: learner.Spec
  graph: nnx.GraphDef
  environment: Any


@flax.struct.dataclass
class LoopState:
  """What changes besides the agent's train state and the replay."""

  environments: Any
  timestep: Any
  acting: policy.Carry
  env_steps: Any  # int32 [], of each environment
  returns: Any  # [E], of the episodes in progress


def init(
  config: config_dict.ConfigDict, spec: learner.Spec, environment: Any
) -> tuple[Program, learner.TrainState, LoopState]:
  """Returns the program and the state before its first step."""
  graph, train = learner.init_state(config, spec)
  program = Program(config, spec, graph, environment)
  count = config.loop.environments
  keys = jax.random.split(jax.random.key(config.seed + 1), count)
  environments, timestep = jax.vmap(environment.reset)(keys)
  acting = policy.initial(config, spec, count)
  return (
    program,
    train,
    LoopState(
      environments,
      timestep,
      acting,
      jnp.int32(0),
      jnp.zeros(count, jnp.float32),
    ),
  )


def iterate(
  program: Program,
  train: learner.TrainState,
  loop: LoopState,
  replay: device_replay.DeviceReplay,
  steps: int,
  count: int,
) -> tuple[learner.TrainState, LoopState, device_replay.DeviceReplay, Tree]:
  """Returns all three after `steps` steps of each environment, then `count`
  updates; and metrics.

  The mean return of episodes that ended meanwhile is NaN when none did.
  """

  def step(carry: tuple[Any, Any], _: None) -> tuple[Any, Any]:
    loop, replay = carry
    loop, record, outcome = act(program, train.params, loop)
    return (loop, device_replay.add(replay, record)), outcome

  (loop, replay), (ended, returns) = updates.repeat(
    program.spec, step, (loop, replay), None, steps
  )
  episodes = jnp.sum(ended, dtype=jnp.float32)
  metrics = {
    "episode/return": jnp.sum(jnp.where(ended, returns, 0)) / episodes,
    "episode/count": episodes,
  }
  if count:
    train, replay, losses = updates.on_replay(
      program.config, program.spec, program.graph, train, replay, count
    )
    metrics |= jax.tree.map(jnp.mean, losses)
  return train, loop, replay, metrics


def act(
  program: Program, params: Tree, loop: LoopState
) -> tuple[LoopState, Tree, tuple[Array, Array]]:
  """Steps every environment once.

  Returns the state, what the replay keeps of the step, and (which episodes
  ended, returns).
  """
  key = jax.random.fold_in(
    jax.random.key(program.config.seed + 2), loop.env_steps
  )
  policy_key, environment_key = jax.random.split(key)
  acting = policy.act(
    program.config,
    program.spec,
    program.graph,
    params,
    loop.acting,
    _observation(program, loop.timestep),
    loop.timestep.is_first,
    policy_key,
  )
  step = _record(program, loop.timestep, acting)
  keys = jax.random.split(environment_key, loop.returns.shape[0])
  environments, timestep = jax.vmap(program.environment.step)(
    loop.environments, policy.bare(acting.action), keys
  )
  returns = jnp.where(
    timestep.is_first, 0, loop.returns + timestep.reward
  ).astype(jnp.float32)
  after = LoopState(
    environments,
    timestep,
    acting,
    loop.env_steps + 1,
    returns,
  )
  return after, step, (timestep.is_last, returns)


def _record(program: Program, timestep: Any, acting: policy.Carry) -> Tree:
  """Returns what the replay keeps of a step."""
  step = _observation(program, timestep)
  step |= {name: getattr(timestep, name) for name in (*learner.FLAGS, "reward")}
  return step | policy.record(acting)


def _observation(program: Program, timestep: Any) -> Tree:
  return {n: getattr(timestep, n) for n in program.spec.observations}
