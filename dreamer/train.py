"""The training loop: environments in, checkpoints out, exact on resume.

Read `train`, then `_run` top to bottom: act, learn, step. Environments written
in JAX have a loop of their own, `dreamer.compiled`, with the same files and the
same command line. Axes: N environments.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from carnet import checkpoint as checkpoint_lib
from carnet import mesh
from carnet.checkpoint import signals
from carnet.envs import vector
from dreamer import (
  compiled,
  config_check,
  environment,
  experience,
  learner,
  policy,
  ratio,
  recorder,
  run,
)
from dreamer import episodes as episodes_lib

Tree = dict[str, Any]


def train(
  config: config_dict.ConfigDict, workdir: pathlib.Path, dry_run: bool = False
) -> None:
  """Trains for `config.total_steps`, resuming what `workdir` holds.

  SIGTERM and Ctrl-C save first; after a SIGKILL the newest checkpoint counts.
  Either way the run ends with the parameters of an uninterrupted one, on CPU
  bit by bit. `dry_run` checks everything, prints what `config.from_checkpoint`
  would restore, and writes nothing.

  Raises:
    UserError: the config cannot be trained, or `workdir` is another run's.
  """
  config_check.check(config)
  run.check_same(config, workdir)
  if config.loop.compiled:
    compiled.train(config, workdir, dry_run)
    return
  with environment.open_vector(config) as envs, signals.graceful() as stop:
    spec = environment.spec_of(envs)
    config_check.check_spaces(config, spec)
    run.check_spaces(spec, workdir)
    envs.reset()
    with run.open_checkpoint(config, workdir, spec) as checkpoint:
      parts = _register(config, spec, envs, checkpoint)
      if run.start(config, checkpoint, workdir, dry_run):
        _run(config, workdir, parts, checkpoint, stop)


@dataclasses.dataclass(frozen=True)
class _Parts:
  """Everything that changes, each a component of the checkpoint."""

  spec: learner.Spec
  graph: Any
  agent: Any  # .value: learner.TrainState
  acting: Any  # .value: policy.Carry
  envs: vector.Vector
  replay: experience.Experience
  ratio: ratio.Ratio
  episodes: episodes_lib.Episodes


def _register(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  envs: vector.Vector,
  checkpoint: checkpoint_lib.Checkpoint,
) -> _Parts:
  devices = mesh.make_mesh(config.devices)
  graph, state = learner.init_state(config, spec)
  layout = mesh.state_shardings(devices, state, config.fsdp)
  count = config.loop.environments
  replayed = config.batch_size * config.batch_length
  carry = policy.initial(config, spec, count)
  whole = jax.sharding.NamedSharding(devices, jax.P())
  replay = experience.make(config, spec, graph, devices, layout)
  register = checkpoint.register
  return _Parts(
    spec=spec,
    graph=graph,
    agent=register("agent", jax.device_put(state, layout)),
    # placed as acting leaves it, or the first step is compiled by itself
    acting=register("acting", jax.device_put(carry, whole)),
    envs=register("environments", envs),
    replay=register("replay", replay),
    ratio=register("ratio", ratio.Ratio(config.loop.train_ratio, replayed)),
    episodes=register("episodes", episodes_lib.Episodes(count)),
  )


def _run(
  config: config_dict.ConfigDict,
  workdir: pathlib.Path,
  parts: _Parts,
  checkpoint: checkpoint_lib.Checkpoint,
  stop: Any,
) -> None:
  agent, acting, replay = parts.agent, parts.acting, parts.replay
  envs, episodes, stride = parts.envs, parts.episodes, config.loop.environments
  act = jax.jit(functools.partial(_act, config, parts.spec, parts.graph))
  # as the original: so many sequences before the first update
  least = config.batch_size * config.batch_length
  seen, step = envs.current(), episodes.steps
  with recorder.recording(
    *(config, parts.spec, parts.graph, workdir, checkpoint, stop),
    *(replay.look, step, stride),
  ) as record:
    while step < config.total_steps:
      acting.value, latents = act(
        agent.value.params,
        acting.value,
        seen.observation,
        seen.is_first,
        np.int32(step // stride),
      )
      # the device learns while the environments step
      if replay.sequences() >= least:
        due = parts.ratio(step)
        agent.value, metrics = replay.learn(agent.value, due)
        record.log.add(metrics)
      recorded = _record(seen) | latents
      seen = envs.step(policy.to_env(acting.value.action))
      replay.settle()
      replay.add(recorded)
      ended = episodes(seen)
      step = episodes.steps
      record.log.episodes(step, ended)
      facts = {"replay/steps": replay.steps, "env/restarts": envs.restarts}
      record(step, agent.value.params, facts)


def _act(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  graph: Any,
  params: Tree,
  carry: policy.Carry,
  observation: Tree,
  is_first: jax.Array,
  count: jax.Array,
) -> tuple[policy.Carry, Tree]:
  """Returns the carry with the next actions, and what the replay keeps."""
  key = jax.random.fold_in(jax.random.key(config.seed + 2), count)
  carry = policy.act(
    config, spec, graph, params, carry, observation, is_first, key
  )
  return carry, policy.record(carry)


def _record(seen: vector.Batch) -> Tree:
  flags = {name: getattr(seen, name) for name in learner.FLAGS}
  return seen.observation | flags | {"reward": seen.reward}
