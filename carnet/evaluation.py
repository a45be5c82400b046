"""From a checkpoint to results: roll out, file, film, and tell.

What differs between families of policies is in `Loaded`, which each makes from
nothing but a step directory.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import rich.console
import rich.table

from carnet import errors, progress, rollout
from carnet.checkpoint import directory
from carnet.envs import base

_SEED_OF_ACTING = 0  # the same draws in every evaluation
_FRAMES_PER_SECOND = 25  # of a film, or what the task has if that is less
_BAR = 40  # characters that stand for all episodes


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A policy and its task, as a checkpoint describes them.

  Attributes:
    step_directory: what was read.
    policy: acts.
    make_env: makes an environment to be evaluated in.
    make_stage: height -> an environment to be filmed in, and its camera.
    max_steps: of an episode, for the progress bar; None: nobody knows.
    facts: kept with the results, such as the task.
    limit: steps after which an episode is cut.
  """

  step_directory: pathlib.Path
  policy: rollout.Policy
  make_env: Callable[[], base.Env]
  make_stage: Callable[[int], tuple[base.Env, str]]
  max_steps: int | None
  facts: dict[str, Any]
  limit: int | None = None


@dataclasses.dataclass(frozen=True)
class Report:
  """An evaluation and where its results lie."""

  checkpoint: pathlib.Path
  step: int
  evaluation: rollout.Evaluation
  results: pathlib.Path  # JSON: facts, summary, one row an episode
  videos: tuple[pathlib.Path, ...]
  seconds: float


def chosen(overrides: Any, known: Collection[str]) -> dict[str, Any]:
  """Returns the options of execution that were given, without any None.

  Args:
    overrides: as `carnet.policy.load` was given them.
    known: the names that the family has.

  Raises:
    UserError: one that the family does not have, or no mapping.
  """
  if not isinstance(overrides, Mapping | None):
    raise errors.UserError(
      f"overrides are {type(overrides).__name__}: give a dict of some of "
      f"{', '.join(sorted(known))}"
    )
  given = dict(overrides or {})
  for name in given:
    if name not in known:
      raise errors.unknown("option of execution", str(name), known)
  return {name: value for name, value in given.items() if value is not None}


def evaluate(
  load: Callable[[], Loaded],
  seeds: Sequence[int],
  output: pathlib.Path | None = None,
  videos: int = 1,
  video_height: int = 360,
) -> Report:
  """Rolls out the policy that `load` gives and files the results.

  Args:
    load: reads the checkpoint.
    seeds: one episode each.
    output: directory of the results; beside the checkpoint if None.
    videos: episodes to film.
    video_height: in pixels.

  Raises:
    UserError: no valid checkpoint, or results that cannot be written, or that
      would lie within a checkpoint.
  """
  start = time.monotonic()
  if video_height < 16 or video_height % 2:
    raise errors.UserError(f"video_height {video_height}: even, 16 or more")
  loaded = load()
  output = make_output(loaded.step_directory, output)
  manifest = directory.read_manifest(loaded.step_directory)
  step = manifest.step
  found = run(
    loaded.policy, loaded.make_env, seeds, loaded.max_steps, loaded.limit
  )
  facts = {
    "checkpoint": str(loaded.step_directory),
    "step": step,
    "tree_sha256": manifest.tree_sha256,  # a step of a later run is another
  }
  seconds = time.monotonic() - start
  results = output / "results.json"
  found.write(results, facts | loaded.facts | {"seconds": round(seconds, 1)})
  films = film(loaded, found, output, videos, video_height)
  return Report(loaded.step_directory, step, found, results, films, seconds)


def make_output(
  step_directory: pathlib.Path, asked: pathlib.Path | None, suffix: str = ""
) -> pathlib.Path:
  """Returns the directory of results, made: as asked, or beside the step.

  Beside it, it is called as the step, and then `suffix`.

  Raises:
    UserError: it cannot be made, or lies within a checkpoint.
  """
  if asked is not None:
    _check_outside(asked, step_directory)
  step = directory.read_manifest(step_directory).step
  output = asked or _beside(step_directory) / f"{step:09d}{suffix}"
  try:
    output.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise errors.UserError(f"cannot write {output}: {error}") from error
  return output


def _check_outside(output: pathlib.Path, step_directory: pathlib.Path) -> None:
  """Refuses a directory within this step, or another that has papers."""
  place, home = output.resolve(), step_directory.resolve()
  for parent in (place, *place.parents):
    if parent == home or os.path.lexists(parent / directory.PASSPORT):
      raise errors.UserError(
        f"--output: {output} lies in the checkpoint {parent}, to which nothing "
        "may be added: name another directory"
      )


def _beside(step_directory: pathlib.Path) -> pathlib.Path:
  """Returns workdir/evaluation, or the like beside a step that was moved."""
  home = step_directory.absolute().parent
  return (home.parent if home.name == "checkpoints" else home) / "evaluation"


def run(
  policy: rollout.Policy,
  make_env: Callable[[], base.Env],
  seeds: Sequence[int],
  max_steps: int | None,
  limit: int | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> rollout.Evaluation:
  """Rolls out one episode a seed in lock-step, with a progress bar."""
  count = len(seeds)
  with progress.bar("evaluating", max_steps) as bar:
    evaluation = rollout.evaluate(
      make_env,
      policy,
      seeds,
      jax.random.key(_SEED_OF_ACTING),
      lambda step: bar.update(step, f"of the steps of {count} episodes"),
      limit,
      stop,
    )
    longest = max(episode.length for episode in evaluation.episodes)
    bar.update(max_steps or longest, describe(evaluation))
  return evaluation


def describe(evaluation: rollout.Evaluation) -> str:
  """Returns one line: successes with their interval, or the mean return."""
  found = evaluation.summary()
  if found["success_rate"] is None:
    return (
      f"return {found['mean_return']:.4g} "
      f"± {found['standard_error']:.2g} over {found['episodes']} episodes"
    )
  return (
    f"{found['successes']}/{found['episodes']} successes = "
    f"{found['success_rate']:.0%} [{found['low']:.0%}, {found['high']:.0%}]"
  )


def film(
  loaded: Loaded,
  evaluation: rollout.Evaluation,
  output: pathlib.Path,
  count: int,
  height: int,
) -> tuple[pathlib.Path, ...]:
  """Writes an MP4 of each of the first `count` episodes; returns the paths."""
  paths = []
  for episode in evaluation.episodes[:count]:
    path = output / f"seed_{episode.seed}_{_outcome(episode)}.mp4"
    env, camera = loaded.make_stage(height)
    try:
      every = max(1, round(env.control_hz / _FRAMES_PER_SECOND))
      rollout.record(env, episode.seed, episode.actions, camera, path, every)
    finally:
      env.close()
    paths.append(path)
  return tuple(paths)


def _outcome(episode: rollout.Episode) -> str:
  if episode.success is None:
    return f"return_{episode.total_reward:.4g}"
  return "success" if episode.success else "failure"


def print_report(report: Report) -> None:
  """Prints rates or returns, a histogram of success, and the paths."""
  found = report.evaluation.summary()
  table = rich.table.Table("measure", "value", title=str(report.checkpoint))
  if found["success_rate"] is None:
    table.add_row("episodes", str(found["episodes"]))
    table.add_row(
      "mean return",
      f"{found['mean_return']:.4g} ± {found['standard_error']:.2g} "
      "(standard error)",
    )
    table.add_row(
      "lowest, highest",
      f"{found['lowest_return']:.4g}, {found['highest_return']:.4g}",
    )
  else:
    table.add_row("success ever", describe(report.evaluation))
    table.add_row(
      "held at the end",
      f"{found['held_rate']:.0%} "
      f"[{found['held_low']:.0%}, {found['held_high']:.0%}]",
    )
    table.add_row("mean return", f"{found['mean_return']:.4g}")
    for reward, count in found["highest_reward_histogram"].items():
      bar = "█" * -(-count * _BAR // found["episodes"])
      table.add_row(f"highest reward {reward}", f"{count:>3} {bar}")
  table.add_row("results", str(report.results))
  for path in report.videos:
    table.add_row("video", str(path))
  rich.console.Console().print(table)
