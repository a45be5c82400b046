"""Training where the environment is compiled too: one program does it all.

Each dispatch steps all environments `loop.steps_per_dispatch` times and runs
the updates that the train ratio asks for. Files and command line are those of
`dreamer.train`.
"""

import functools
import pathlib
from typing import Any

import jax
from ml_collections import config_dict

from carnet import errors
from carnet.checkpoint import signals
from carnet.envs import functional
from dreamer import (
  config_check,
  device_buffer,
  environment,
  jitted,
  policy,
  recorder,
  run,
)

Tree = dict[str, Any]


def train(
  config: config_dict.ConfigDict, workdir: pathlib.Path, dry_run: bool = False
) -> None:
  """Trains for `config.total_steps`, resuming what `workdir` holds.

  Raises:
    UserError: the task is not written in JAX, the train ratio does not give
      whole updates, or `workdir` is another run's.
  """
  environments = config.loop.environments
  stride = environments * config.loop.steps_per_dispatch
  count = _updates(config, stride)
  functions = functional.make(config.environment.name)
  spec = environment.spec_of(functions)
  config_check.check_spaces(config, spec)
  run.check_spaces(spec, workdir)
  program, state, loop = jitted.init(config, spec, functions)
  buffer = device_buffer.DeviceBuffer(
    config.replay.capacity // environments,
    config.replay.chunk_size,
    policy.example(config, spec, environments),
  )
  with (
    run.open_checkpoint(config, workdir, spec) as checkpoint,
    signals.graceful() as stop,
  ):
    agent = checkpoint.register("agent", state)
    acting = checkpoint.register("loop", loop)
    checkpoint.register("replay", buffer)
    if not run.start(config, checkpoint, workdir, dry_run):
      return
    iterate = jax.jit(
      functools.partial(jitted.iterate, program),
      static_argnums=(3, 4),
      donate_argnums=(0, 1, 2),
    )
    least = run.steps_before_training(config)
    length = config.batch_length + config.replay_context
    look = functools.partial(
      buffer.look, config.batch_size, length, config.seed
    )
    step = int(acting.value.env_steps) * environments
    with recorder.recording(
      *(config, spec, program.graph, workdir, checkpoint, stop),
      *(look, step, stride),
    ) as record:
      while step < config.total_steps:
        due = count if buffer.steps >= least else 0
        agent.value, acting.value, buffer.replay, metrics = iterate(
          agent.value,
          acting.value,
          buffer.replay,
          config.loop.steps_per_dispatch,
          due,
        )
        buffer.advance(config.loop.steps_per_dispatch)
        step += stride
        record.log.add([metrics])
        facts = {"replay/steps": float(buffer.steps * environments)}
        record(step, agent.value.params, facts)


def _updates(config: config_dict.ConfigDict, steps: int) -> int:
  """Returns how many updates follow `steps` steps of the policy."""
  replayed = config.batch_size * config.batch_length
  count = steps * config.loop.train_ratio / replayed
  if count < 1 or count != int(count):
    raise errors.UserError(
      f"config.loop.train_ratio={config.loop.train_ratio} gives {count:g} "
      f"updates after {steps} steps of all environments: change it, or "
      "config.loop.steps_per_dispatch, so that it is a whole number"
    )
  return int(count)
