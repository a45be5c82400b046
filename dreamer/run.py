"""The files of a run: what it must agree with, checkpoints, metrics."""

import contextlib
import math
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from carnet import checkpoint as checkpoint_lib
from carnet import clock, errors, metrics, warm_start
from carnet import config as config_lib
from carnet import launch as launch_lib
from carnet import workdir as workdir_lib
from carnet.checkpoint import directory
from dreamer import environment, launch, learner

Tree = dict[str, Any]
# Keys that may differ between a run and its resumption: none of them changes
# the parameters that the run ends with.
_FREE = (
  *("checkpoint.", "evaluation.", "log_every_steps", "devices", "fsdp"),
  *("loop.processes", "loop.process_timeout", "loop.max_restarts"),
)
# Keys that decide on the shapes of leaves.
_SHAPES = (
  *("rssm.", "encoder.", "decoder.", "reward.", "continuation.", "actor."),
  *("critic.", "environment."),
)
BEST = "evaluation/mean_return"


def check_same(config: config_dict.ConfigDict, workdir: pathlib.Path) -> None:
  """Refuses to resume the run in `workdir` with another configuration.

  Raises:
    UserError: keys that matter differ; the message names them.
  """
  # without a schedule that ends, more steps are the same run, only longer
  constant = config.optimizer.schedule == "const"
  free = (*_FREE, "total_steps") if constant else _FREE
  workdir_lib.check_same_run(config, workdir, free)


def check_spaces(spec: learner.Spec, workdir: pathlib.Path) -> None:
  """Refuses to resume with other observations or actions than the run's.

  Raises:
    UserError: every key that came, went or changed.
  """
  for step in reversed(directory.numbered(workdir / directory.STEPS)):
    with contextlib.suppress(checkpoint_lib.CorruptError):
      stored = environment.from_json(
        checkpoint_lib.read_json(step, "spaces.json")
      )
      environment.check_same(stored, spec, str(step))
      return


def open_checkpoint(
  config: config_dict.ConfigDict, workdir: pathlib.Path, spec: learner.Spec
) -> checkpoint_lib.Checkpoint:
  """Opens the checkpoints and attaches what evaluation needs besides arrays."""
  options = config.checkpoint
  keep = checkpoint_lib.Retention(
    latest=options.keep_latest,
    best=options.keep_best if config.evaluation.every_steps else 0,
    metric=BEST,
    higher_is_better=True,
    every_steps=options.keep_every_steps,
  )
  checkpoint = checkpoint_lib.Checkpoint(workdir / "checkpoints", keep=keep)
  checkpoint.attach("config.json", config_lib.to_json(config))
  checkpoint.attach("spaces.json", environment.to_json(spec))
  return checkpoint


def start(
  config: config_dict.ConfigDict,
  checkpoint: checkpoint_lib.Checkpoint,
  workdir: pathlib.Path,
  dry_run: bool,
) -> bool:
  """Goes on where this run stopped, or starts from another run's leaves.

  Returns False for a `dry_run`, which writes nothing.
  """
  fresh = checkpoint.latest() is None and config.from_checkpoint
  if dry_run:
    if config.from_checkpoint:
      warm_start.load(config, checkpoint, _SHAPES, dry_run).check()
    return False
  if fresh:
    warm_start.load(config, checkpoint, _SHAPES)
  launch_lib.load_or_save(checkpoint, workdir, launch.capture(config))
  workdir_lib.write_config(config, workdir)
  return True


def steps_before_training(config: config_dict.ConfigDict) -> int:
  """Returns how many steps of each environment come before the first update.

  As the original: there are then as many sequences as a batch has steps.
  """
  length = config.batch_length + config.replay_context
  replayed = config.batch_size * config.batch_length
  return -(-replayed // config.loop.environments) + length - 1


def save_schedule(config: config_dict.ConfigDict, stride: int) -> clock.Every:
  """Returns when to save."""
  options = config.checkpoint
  return clock.Every(
    options.every_steps, seconds=options.every_seconds, stride=stride
  )


class Log:
  """Metrics of a run, as means since the last line, and a note for the bar."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    workdir: pathlib.Path,
    step: int,
    stride: int,
  ) -> None:
    self._writer = metrics.open_writer(workdir, step)
    self._at = clock.Every(
      config.log_every_steps, config.total_steps, stride=stride
    )
    self._frames = environment.frames_per_step(config)
    self._step, self._updates, self._time = step, 0, time.monotonic()
    self._cpu = time.process_time()
    self._pending: list[Tree] = []
    self._return: float | None = None
    self._note = ""

  def add(self, found: Iterable[Tree]) -> None:
    """Takes metrics of updates, arrays [K] that may not be computed yet."""
    self._pending.extend(found)

  def episodes(
    self, step: int, ended: Iterable[Mapping[str, int | float]]
  ) -> None:
    """Writes a line for each episode that ended."""
    for one in ended:
      self._return = one["return"]
      self.write(step, {f"episode/{name}": x for name, x in one.items()})

  def __call__(self, step: int, more: Mapping[str, int | float]) -> str:
    """Writes a line when due; returns a note for the bar."""
    if self._at(step):
      self.flush(step, more)
    return self._note

  def flush(self, step: int, more: Mapping[str, int | float]) -> None:
    """Writes the means since the last line, and `more`.

    Raises:
      UserError: a loss is not a number.
    """
    if step == self._step:  # a line was just written
      return
    found = self._means()
    values = {
      name if name.startswith("episode/") else f"train/{name}": x
      for name, x in found.items()
    }
    now, updates = time.monotonic(), self._updates
    seconds = max(now - self._time, 1e-9)
    values |= {
      "fps/policy": (step - self._step) / seconds,
      "fps/updates": updates / seconds,
      "fps/cpu_seconds": time.process_time() - self._cpu,
    }
    self._cpu = time.process_time()
    self._step, self._updates, self._time = step, 0, now
    self.write(step, values | dict(more))
    last = "" if self._return is None else f"return {self._return:.4g}, "
    self._note = f"{last}{values['fps/policy']:.0f} steps/s"
    if updates:
      self._note += f", {values['fps/updates']:.2g} updates/s"

  def write(self, step: int, values: Mapping[str, int | float]) -> None:
    """Writes a line at once; `frames` counts the action repeat."""
    self._writer.write(step, {"frames": step * self._frames} | dict(values))

  def close(self) -> None:
    """Flushes the files."""
    self._writer.close()

  def _means(self) -> dict[str, float]:
    if not self._pending:
      return {}
    columns = jax.device_get(self._pending)
    self._pending, found = [], {}
    for name in {name: None for column in columns for name in column}:
      parts = [np.ravel(c[name]) for c in columns if name in c]
      values = np.concatenate(parts)
      if name.startswith("episode/"):  # NaN where none ended
        values = values[np.isfinite(values)]
      if values.size:
        found[name] = float(values.mean())
    self._updates = sum(np.size(c.get("opt/loss", ())) for c in columns)
    self._return = found.get("episode/return", self._return)
    if not math.isfinite(found.get("opt/loss", 0.0)):
      raise errors.UserError(
        f"the loss is {found['opt/loss']}: lower --config.optimizer.lr or look "
        "at the environment; the newest checkpoint is untouched"
      )
    return found
