"""Training runs of seconds, what they leave behind, and ways to stop them."""

import json
import pathlib
import signal
from typing import Any

import pytest
from ml_collections import config_dict

from carnet import checkpoint
from configs.dreamer import debug
from dreamer import run

Tree = dict[str, Any]


class Killed(BaseException):
  """As good as SIGKILL: nothing is saved."""


def cartpole() -> config_dict.ConfigDict:
  """Replay on the host; two updates in one program, and one in another.

  The first update comes at step 32: 16 steps of each environment hold 8
  sequences of 9, and 16 sequences are a batch of 2 x 8.
  """
  config = _quiet("gym:CartPole-v1", total_steps=160, save=40)
  config.replay.chunk_size = 16
  return config


def walker(task: str = "walk") -> config_dict.ConfigDict:
  """Replay in device memory that wraps around; one update a program.

  The first update comes at step 24.
  """
  config = _quiet(f"dmc/walker_{task}", total_steps=60, save=20)
  config.environment.repeat = 2
  config.loop.update(environments=1, train_ratio=8.0, updates_per_dispatch=1)
  config.replay.update(memory="device", capacity=40, chunk_size=8)
  return config


def catch() -> config_dict.ConfigDict:
  """All in one program; evaluates and films too. Wraps around as well.

  A dispatch is 48 steps; only before the third are there 13 steps of each
  environment, so it is the first to update, three times.
  """
  config = _quiet("catch", total_steps=288, save=96)
  config.replay.update(memory="device", capacity=80, chunk_size=10)
  config.loop.update(
    compiled=True, environments=4, steps_per_dispatch=12, train_ratio=1.0
  )
  config.evaluation.update(every_steps=144, video_every_steps=144)
  config.log_every_steps = 144
  return config


def _quiet(task: str, total_steps: int, save: int) -> config_dict.ConfigDict:
  config = debug.get_config(task)
  config.total_steps, config.checkpoint.every_steps = total_steps, save
  config.checkpoint.every_seconds = 0.0
  config.evaluation.update(every_steps=0, video_every_steps=0)
  config.log_every_steps = 40
  return config


def stop_at(
  monkeypatch: pytest.MonkeyPatch, step: int, kill: bool = False
) -> None:
  """Lets SIGTERM, or the like of SIGKILL, come as a run reaches a step."""
  original = run.Log.__call__

  def call(self: run.Log, reached: int, more: Any) -> str:
    if reached == step:
      if kill:
        raise Killed
      signal.raise_signal(signal.SIGTERM)
    return original(self, reached, more)

  monkeypatch.setattr(run.Log, "__call__", call)


def steps(workdir: pathlib.Path) -> list[int]:
  """Returns the steps of the checkpoints."""
  return sorted(int(x.name) for x in (workdir / "checkpoints").glob("0*"))


def stored(workdir: pathlib.Path, step: int | None = None) -> Tree:
  """Returns digests of arrays and chunks, and the JSON, of every component."""
  if step is None:
    step = steps(workdir)[-1]
  path = workdir / f"checkpoints/{step:09d}"
  manifest = checkpoint.read_manifest(path)
  found: Tree = {leaf.path: leaf.sha256 for leaf in manifest.leaves}
  for name in manifest.components:
    rows = [x.sha256 for x in manifest.chunks if x.component == name]
    found[f"{name}/chunks"] = rows
    file = path / name / "state.json"
    if file.exists():
      found[f"{name}/state"] = json.loads(file.read_text())
  return found


def lines(workdir: pathlib.Path) -> list[Tree]:
  """Returns the metrics, without those that tell the time."""
  text = (workdir / "metrics.jsonl").read_text()
  return [
    {k: x for k, x in json.loads(line).items() if not k.startswith("fps/")}
    for line in text.splitlines()
  ]


def value(workdir: pathlib.Path, path: str, step: int | None = None) -> Any:
  """Returns one array of the newest checkpoint, or of `step`."""
  if step is None:
    step = steps(workdir)[-1]
  found = checkpoint.read(workdir / f"checkpoints/{step:09d}", regex=path)
  for part in path.split("/"):
    found = found[part]
  return found
