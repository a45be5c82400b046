"""From a checkpoint to a success rate; it reads nothing but the checkpoint."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import rich.console
import rich.table
from ml_collections import config_dict

from act import config as act_config
from act import features as features_lib
from act import policy
from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import envs, errors, progress, rollout
from carnet.checkpoint import directory
from carnet.envs import base

_SEED_OF_ACTING = 0  # ACT acts without randomness; the protocol asks for a key


@dataclasses.dataclass(frozen=True)
class Report:
  """An evaluation and where its results lie."""

  checkpoint: pathlib.Path
  step: int
  evaluation: rollout.Evaluation
  results: pathlib.Path  # JSON: facts, summary, one row an episode
  videos: tuple[pathlib.Path, ...]
  seconds: float


def evaluate_checkpoint(
  path: pathlib.Path,
  seeds: Sequence[int],
  output: pathlib.Path | None = None,
  overrides: Mapping[str, Any] | None = None,
  videos: int = 1,
  video_height: int = 360,
) -> Report:
  """Rolls out the policy of a checkpoint under `seeds` and files the results.

  `path` is a step directory, or a workdir for its newest step. `overrides`
  replaces execution options of `config.model`; None keeps the trained ones.

  Raises:
    UserError: no valid checkpoint, or an option that does not fit it.
  """
  start = time.monotonic()
  if video_height < 16 or video_height % 2:
    raise errors.UserError(f"video_height {video_height}: even, 16 or more")
  step_directory, config, acting = load(path, overrides or {})
  step = directory.read_manifest(step_directory).step
  output = output or _beside(step_directory) / f"{step:09d}"
  try:
    output.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise errors.UserError(f"cannot write {output}: {error}") from error
  evaluation = run(config, acting, seeds)
  facts = {
    "checkpoint": str(step_directory),
    "step": step,
    "task": config.environment.name,
    "environment": config.environment.to_dict(),
    "execution": execution(config),
  }
  seconds = time.monotonic() - start
  results = output / "results.json"
  evaluation.write(results, facts | {"seconds": round(seconds, 1)})
  films = film(config, evaluation, output, videos, video_height)
  return Report(step_directory, step, evaluation, results, films, seconds)


def _beside(step_directory: pathlib.Path) -> pathlib.Path:
  """Returns workdir/evaluation, or the like beside a step that was moved."""
  home = step_directory.absolute().parent
  return (home.parent if home.name == "checkpoints" else home) / "evaluation"


def load(
  path: pathlib.Path, overrides: Mapping[str, Any]
) -> tuple[pathlib.Path, config_dict.ConfigDict, policy.Policy]:
  """Returns the step directory, its config and its policy, digests verified.

  Reads parameters and small files; neither optimizer nor data are touched.
  """
  step_directory = directory.resolve(path)
  config = config_lib.from_json(
    checkpoint_lib.read_json(step_directory, "config.json"),
    act_config.default_config(),
  )
  _override(config, overrides)
  agent = checkpoint_lib.read(
    step_directory, regex="agent/(params|buffers)/.*"
  )["agent"]
  acting = policy.Policy(
    config,
    features_lib.from_json(
      checkpoint_lib.read_json(step_directory, "features.json")
    ),
    checkpoint_lib.read_json(step_directory, "stats.json"),
    agent["params"],
    agent.get("buffers", {}),
  )
  return step_directory, config, acting


def _override(
  config: config_dict.ConfigDict, overrides: Mapping[str, Any]
) -> None:
  given = {k: v for k, v in overrides.items() if v is not None}
  ensembles = given.get("temporal_ensemble") or (
    "temporal_ensemble_coefficient" in given
  )
  if ensembles and "n_action_steps" in given:
    raise errors.UserError(
      "n_action_steps and temporal ensembling exclude each other: "
      "ensembling queries at every step"
    )
  coefficient = given.get("temporal_ensemble_coefficient", 0.0)
  if not -10 <= coefficient <= 10:
    raise errors.UserError(
      f"temporal_ensemble_coefficient {coefficient}: from -10 to 10; the "
      "original uses 0.01"
    )
  with config.unlocked():
    config.model.update(given)
    # a coefficient asks for ensembling, a number of actions for none
    if "temporal_ensemble" not in given and given:
      config.model.temporal_ensemble = "n_action_steps" not in given
  if config.model.n_action_steps > config.model.chunk_size:
    raise errors.UserError(
      f"n_action_steps {config.model.n_action_steps} is more than the "
      f"{config.model.chunk_size} actions of a chunk"
    )


def make_env(config: config_dict.ConfigDict, **options: Any) -> base.Env:
  """Returns the environment that `config.environment` describes."""
  described = config.environment.to_dict() | options
  return envs.make(described.pop("name"), **described)


def run(
  config: config_dict.ConfigDict,
  acting: rollout.Policy,
  seeds: Sequence[int],
) -> rollout.Evaluation:
  """Rolls out one episode a seed in lock-step, with a progress bar."""
  total = config.environment.max_steps
  with progress.bar("evaluating", total) as bar:
    evaluation = rollout.evaluate(
      lambda: make_env(config),
      acting,
      seeds,
      jax.random.key(_SEED_OF_ACTING),
      lambda step: bar.update(step, f"of the steps of {len(seeds)} episodes"),
    )
    bar.update(total, describe(evaluation))
  return evaluation


def execution(config: config_dict.ConfigDict) -> dict[str, Any]:
  """Returns how the predicted chunks are executed."""
  if config.model.temporal_ensemble:
    coefficient = config.model.temporal_ensemble_coefficient
    return {"temporal_ensemble_coefficient": coefficient}
  return {"n_action_steps": config.model.n_action_steps}


def describe(evaluation: rollout.Evaluation) -> str:
  """Returns one line: successes, rate and 95 % interval."""
  found = evaluation.summary()
  return (
    f"{found['successes']}/{found['episodes']} successes = "
    f"{found['success_rate']:.0%} [{found['low']:.0%}, {found['high']:.0%}]"
  )


def film(
  config: config_dict.ConfigDict,
  evaluation: rollout.Evaluation,
  directory: pathlib.Path,
  count: int,
  height: int,
) -> tuple[pathlib.Path, ...]:
  """Writes an MP4 of each of the first `count` episodes; returns the paths."""
  camera = config.evaluation.video_camera
  size = {"height": height, "width": height * 2 // 3 * 2}
  paths = []
  for episode in evaluation.episodes[:count]:
    outcome = "success" if episode.success else "failure"
    path = directory / f"seed_{episode.seed}_{outcome}.mp4"
    env = make_env(config, cameras=(camera,), **size)
    try:
      rollout.record(env, episode.seed, episode.actions, camera, path)
    finally:
      env.close()
    paths.append(path)
  return tuple(paths)


def print_report(report: Report) -> None:
  """Prints the rates, the histogram of the highest reward and the paths."""
  found = report.evaluation.summary()
  table = rich.table.Table("measure", "value", title=str(report.checkpoint))
  table.add_row("success ever", describe(report.evaluation))
  table.add_row(
    "held at the end",
    f"{found['held_rate']:.0%} "
    f"[{found['held_low']:.0%}, {found['held_high']:.0%}]",
  )
  for reward, count in found["highest_reward_histogram"].items():
    table.add_row(f"highest reward {reward}", f"{count:>3} " + "█" * count)
  table.add_row("results", str(report.results))
  for path in report.videos:
    table.add_row("video", str(path))
  rich.console.Console().print(table)
