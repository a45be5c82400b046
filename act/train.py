"""The training loop: demonstrations in, checkpoints out, exact on resume.

Read `train` top to bottom: open the data, make the state, restore, then one
line a gradient step. The one `jax.jit` of training is there.
"""

import contextlib
import functools
import math
import pathlib
import time
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from act import (
  agreement,
  config_check,
  data_wait,
  dataset,
  features,
  inheritance,
  launch,
  learner,
  monitor,
)
from carnet import checkpoint as checkpoint_lib
from carnet import (
  clock,
  errors,
  mesh,
  metrics,
  progress,
  run_context,
  warm_start,
)
from carnet import config as config_lib
from carnet import launch as launch_lib
from carnet import workdir as workdir_lib
from carnet.checkpoint import signals


def train(
  config: config_dict.ConfigDict, workdir: pathlib.Path, dry_run: bool = False
) -> None:
  """Trains until `config.total_steps`, resuming what `workdir` holds.

  SIGTERM and Ctrl-C save first; after a SIGKILL the newest checkpoint counts.
  Either way the run ends with the parameters of an uninterrupted one.
  `dry_run` checks everything, prints what `config.from_checkpoint` would
  restore, and writes nothing.

  Raises:
    UserError: the data do not fit the config, or `workdir` is another run's.
  """
  config_check.check(config)
  data = dataset.open_configured(
    config.dataset, known_bad=inheritance.left_out(config, workdir)
  )
  config = settled(config, data)
  agreement.check_environment(config, data)
  agreement.check_parent(config, data)
  data = inheritance.statistics(config, workdir, data)
  training, held_out = dataset.split(
    data.num_episodes, config.dataset.validation_fraction, config.seed
  )
  batches = _batches(config, data, training)
  measure = monitor.Monitor(config, data, held_out)

  devices = mesh.make_mesh(config.devices)
  over_batch = mesh.batch_sharding(devices, config.batch_size)
  state = learner.init_state(config, data.features)
  layout = mesh.state_shardings(devices, state, config.fsdp)
  facts = (config, data.features, data.statistics)
  train_step = jax.jit(
    functools.partial(learner.train_step, *facts),
    out_shardings=(layout, None),
    donate_argnums=0,
  )

  # finds what the network and the data do not agree on before anything is
  # written
  sample = data.batch(np.zeros(config.batch_size, int), config.model.chunk_size)
  jax.eval_shape(train_step, state, sample)

  agreement.check_same_run(config, workdir)
  agreement.check_same_data(data, workdir)
  with (
    _open_checkpoint(config, workdir, data) as checkpoint,
    signals.graceful() as stop,
  ):
    agent = checkpoint.register("agent", jax.device_put(state, layout))
    checkpoint.register("data", batches)
    if dry_run:
      if config.from_checkpoint:
        warm_start.load(config, checkpoint, ("model.",), dry_run).check()
      return
    captured = launch.capture(config, data, training, held_out)
    _restore(config, workdir, captured, checkpoint, agent)
    workdir_lib.write_config(config, workdir)
    first = int(agent.value.step)
    save_at = clock.Every(
      config.checkpoint.every_steps,
      config.total_steps,
      config.checkpoint.every_seconds,
    )
    waiting = data_wait.Meter(batches)
    advice = data_wait.Advice(data.origin, data.is_ours)
    with (
      contextlib.closing(_Log(config, workdir, first, waiting, advice)) as log,
      progress.bar("training", config.total_steps, first) as bar,
    ):
      bar.update(first, "compiling, takes seconds to minutes")
      for step in range(first + 1, config.total_steps + 1):
        batch = jax.device_put(waiting.next(), over_batch)
        agent.value, scalars = train_step(agent.value, batch)
        bar.update(step, log(step, scalars))
        found = measure(step, agent.value)
        if found:
          log.write(step, found)
        if save_at(step) or _best_metric(config) in found or stop:
          log.refuse_non_finite(step, scalars)
          checkpoint.save(step, metrics=found)
        if stop:
          raise errors.Interrupted(stop.name, f"{stop.name}: saved step {step}")


def settled(
  config: config_dict.ConfigDict, data: dataset.Dataset
) -> config_dict.ConfigDict:
  """Returns the config with the cameras named, and the hub's commit."""
  settled = config.copy_and_resolve_references()
  with settled.unlocked():
    settled.dataset.cameras = data.features.cameras
    if data.origin.rpartition("@")[0].startswith("lerobot:"):
      settled.dataset.path = data.origin
  return settled.lock()


def _batches(
  config: config_dict.ConfigDict,
  data: dataset.Dataset,
  episodes: tuple[int, ...],
) -> Any:
  return dataset.make_iterator(
    data,
    episodes,
    config.dataset.sampling,
    config.batch_size,
    config.model.chunk_size,
    config.seed,
    config.dataset.workers,
  )


def _open_checkpoint(
  config: config_dict.ConfigDict, workdir: pathlib.Path, data: dataset.Dataset
) -> checkpoint_lib.Checkpoint:
  """Opens the checkpoints and attaches what evaluation needs besides arrays."""
  options = config.checkpoint
  simulated = config.evaluation.every_steps > 0
  validated = config.evaluation.validation_every_steps > 0
  keep = checkpoint_lib.Retention(
    latest=options.keep_latest,
    best=options.keep_best if simulated or validated else 0,
    metric=_best_metric(config),
    higher_is_better=simulated,
    every_steps=options.keep_every_steps,
  )
  checkpoint = checkpoint_lib.Checkpoint(workdir / "checkpoints", keep=keep)
  checkpoint.attach("config.json", config_lib.to_json(config))
  checkpoint.attach("stats.json", data.statistics)
  checkpoint.attach("features.json", features.to_json(data.features))
  checkpoint.attach("dataset.json", data.metadata)
  return checkpoint


def _best_metric(config: config_dict.ConfigDict) -> str:
  simulated = config.evaluation.every_steps > 0
  return "evaluation/success_rate" if simulated else "validation/l1"


def _restore(
  config: config_dict.ConfigDict,
  workdir: pathlib.Path,
  captured: run_context.Context,
  checkpoint: checkpoint_lib.Checkpoint,
  agent: Any,
) -> None:
  """Goes on where this run stopped, or starts from another run's leaves."""
  begins = checkpoint.latest() is None and config.from_checkpoint
  if begins:
    warm_start.load(config, checkpoint, ("model.",))
  step = int(agent.value.step)  # the parent's, if its counter was asked for
  if begins and step >= config.total_steps:
    raise errors.UserError(
      f"config.from_checkpoint brings its counter, {step}, and "
      f"total_steps={config.total_steps} counts from 0: raise it, or leave "
      "agent/step out"
    )
  launch_lib.load_or_save(checkpoint, workdir, captured, step)


class _Log:
  """Metrics of the run: a line every so many steps, a note for the bar."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    workdir: pathlib.Path,
    step: int,
    waiting: data_wait.Meter,
    advice: data_wait.Advice,
  ) -> None:
    self._waiting, self._advice = waiting, advice
    self._writer = metrics.open_writer(workdir, step)
    self._at = clock.Every(config.log_every_steps, config.total_steps)
    self._step, self._time = step, time.monotonic()
    self._note = ""

  def __call__(self, step: int, scalars: dict[str, jax.Array]) -> str:
    """Records the scalars of a training step when due; returns the note."""
    if not self._at(step):
      return self._note
    values = {f"train/{name}": float(x) for name, x in scalars.items()}
    self.refuse_non_finite(step, scalars)
    now = time.monotonic()
    rate = (step - self._step) / max(now - self._time, 1e-9)
    self._step, self._time = step, now
    share = self._waiting.share()
    timing = {"train/steps_per_second": rate, "train/data_wait": share}
    self.write(step, values | timing)
    if said := self._advice(share):
      print(said)
    self._note = f"l1 {values['train/l1']:.3f}, {rate:.1f} steps/s"
    return self._note

  def refuse_non_finite(self, step: int, scalars: dict[str, jax.Array]) -> None:
    """Raises UserError when the loss of this step is not a number."""
    if not math.isfinite(loss := float(scalars["loss"])):
      raise errors.UserError(
        f"the loss is {loss} at step {step}: lower "
        "--config.optimizer.learning_rate or look at the data; the newest "
        "checkpoint is untouched"
      )

  def write(self, step: int, values: dict[str, float]) -> None:
    """Records values at once."""
    self._writer.write(step, values)

  def close(self) -> None:
    """Flushes the files."""
    self._writer.close()
