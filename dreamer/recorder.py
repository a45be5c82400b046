"""What follows each turn of a loop: metrics, evaluation, saving, stopping."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import config_dict

from carnet import checkpoint as checkpoint_lib
from carnet import errors, progress
from carnet.checkpoint import signals
from dreamer import learner, monitor, run

Tree = dict[str, Any]


class Recorder:
  """Called after every turn, by either loop; `log` takes metrics before that.

  Made by `recording`.
  """

  def __init__(
    self,
    config: config_dict.ConfigDict,
    checkpoint: checkpoint_lib.Checkpoint,
    stop: signals.Stop,
    stride: int,
    log: run.Log,
    bar: progress.Bar,
    watch: monitor.Monitor,
    look: Callable[[], Tree | None],
  ) -> None:
    self.log = log
    self._checkpoint, self._stop, self._bar = checkpoint, stop, bar
    self._watch, self._look = watch, look
    self._save_at = run.save_schedule(config, stride)
    self._last = config.total_steps

  def __call__(
    self, step: int, params: Tree, facts: Mapping[str, int | float]
  ) -> None:
    """Writes, evaluates and saves what is due at `step`.

    Args:
      step: of the policy, reached now.
      params: of the agent.
      facts: written with the other metrics.

    Raises:
      Interrupted: a signal came; `step` is saved.
    """
    self._bar.update(min(step, self._last), self.log(step, facts))
    found = self._watch(step, params, self._look)
    if found:
      self.log.write(step, found)
    due = self._save_at(step) or step >= self._last or run.BEST in found
    stop = self._stop
    if due or stop:
      self.log.flush(step, facts)
      self._checkpoint.save(step, metrics=found)
    if stop:
      raise errors.Interrupted(stop.name, f"{stop.name}: saved step {step}")


@contextlib.contextmanager
def recording(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  graph: Any,
  workdir: pathlib.Path,
  checkpoint: checkpoint_lib.Checkpoint,
  stop: signals.Stop,
  look: Callable[[], Tree | None],
  step: int,
  stride: int,
) -> Iterator[Recorder]:
  """Yields the recorder of a run that goes on from `step`.

  Args:
    config: the whole configuration.
    spec: observation and action spaces.
    graph: of `learner.make_agent`.
    workdir: where metrics and films go.
    checkpoint: with all components registered.
    stop: of `signals.graceful`.
    look: returns sequences of the replay, or None while there are none.
    step: where the run stands.
    stride: steps of a turn.
  """
  watch = monitor.Monitor(config, spec, graph, workdir, stride, stop.__bool__)
  with (
    contextlib.closing(run.Log(config, workdir, step, stride)) as log,
    progress.bar("training", config.total_steps, step) as bar,
  ):
    bar.update(step, "compiling, takes seconds to minutes")
    yield Recorder(config, checkpoint, stop, stride, log, bar, watch, look)
