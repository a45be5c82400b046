"""What a collecting worker does: one expert trial, or one recorded episode.

Nothing here imports JAX or TensorFlow Datasets, and the simulator is imported
when a worker makes its first environment.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from act import image_codec, pool, storage
from carnet import errors


@dataclasses.dataclass(frozen=True)
class Settings:
  """Everything that decides the bytes of a dataset."""

  task: str
  episodes: int
  first_seed: int = 1000  # evaluation uses the seeds below
  cameras: tuple[str, ...] = ("top",)
  height: int = 480
  width: int = 640
  renderer: str = "gl"
  shadows: bool = False
  msaa_samples: int = 0
  max_steps: int = 400

  def to_json(self) -> dict[str, Any]:
    """Returns the settings as JSON values."""
    return dataclasses.asdict(self) | {"cameras": list(self.cameras)}

  def environment_options(self) -> dict[str, Any]:
    """Returns the options for `carnet.envs.make`."""
    options = dataclasses.asdict(self)
    return {
      name: value
      for name, value in options.items()
      if name not in ("task", "episodes", "first_seed")
    }


@runtime_checkable
class Demonstration(Protocol):
  """One trial of an expert; the shape of `aloha_experts.Demonstration`."""

  @property
  def actions(self) -> Float[np.ndarray, "T A"]:
    """What the expert did."""

  @property
  def success(self) -> bool:
    """Whether the task was solved."""


@runtime_checkable
class Simulator(Protocol):
  """Where trials and environments come from; picklable."""

  def demonstrate(self, task: str, seed: int) -> Demonstration:
    """Returns a Demonstration."""

  def make(self, settings: Settings) -> Any:
    """Returns a `carnet.envs.base.Env`."""


@dataclasses.dataclass(frozen=True)
class Aloha:
  """The scripted experts and environments of `carnet.envs`."""

  def demonstrate(self, task: str, seed: int) -> Demonstration:
    """Returns the expert's trial from this seed."""
    from carnet.envs import aloha_experts  # imports mujoco

    return aloha_experts.demonstrate(task, seed)

  def make(self, settings: Settings) -> Any:
    """Returns the environment that the recorded actions are replayed in."""
    from carnet import envs

    return envs.make(settings.task, **settings.environment_options())


@dataclasses.dataclass
class Recorder:
  """Runs trials and records episodes into `directory`; close it after use."""

  simulator: Simulator
  settings: Settings
  directory: pathlib.Path
  _should_stop: Callable[[], bool] | None = None
  _environment: Any = None

  @property
  def work(self) -> pathlib.Path:
    """Directory of unfinished business; gone once the dataset is complete."""
    return self.directory / ".collecting"

  def stop_when(self, should_stop: Callable[[], bool]) -> None:
    """Says what to ask between frames."""
    self._should_stop = should_stop

  def probe(self) -> None:
    """Makes the environment and renders once, so that mistakes show early."""
    self._made().reset(self.settings.first_seed)

  def trial(self, seed: int) -> bool:
    """Lets the expert try one seed, stores its actions; returns success."""
    self._check_stop()
    result = self.simulator.demonstrate(self.settings.task, seed)
    arrays = {
      "actions": np.asarray(result.actions, np.float32),
      "success": np.asarray(bool(result.success)),
    }
    storage.write_arrays(trial_path(self.work, seed), arrays)
    return bool(result.success)

  def record(self, index: int, seed: int) -> None:
    """Replays the trial of `seed` with cameras and stores it as an episode."""
    actions = storage.read_arrays(trial_path(self.work, seed))["actions"]
    settings = self.settings
    name = storage.shard_name(settings.task, index, settings.episodes)
    with storage.atomic(self.directory / name) as shard:
      facts = self._replay(shard, index, seed, actions)
      facts |= {k: np.asarray(v) for k, v in storage.digest(shard).items()}
    # The facts follow the shard: an episode counts once they are here.
    storage.write_arrays(episode_path(self.work, index), facts)

  def close(self) -> None:
    """Closes the environment."""
    if self._environment is not None:
      self._environment.close()
      self._environment = None

  def _replay(
    self,
    shard: pathlib.Path,
    index: int,
    seed: int,
    actions: Float[np.ndarray, "T A"],
  ) -> dict[str, np.ndarray]:
    from act import episode_writer  # array_record, which the main can spare

    environment, settings = self._made(), self.settings
    encoding = image_codec.choose(settings.height, settings.width)
    writer = episode_writer.EpisodeWriter(
      shard, index, dict.fromkeys(settings.cameras, encoding)
    )
    try:
      step = environment.reset(seed)
      for frame, action in enumerate(actions):
        self._check_stop()
        last = frame + 1 == len(actions)
        before, step = step, environment.step(action, observe=not last)
        if step.is_last and not last:
          raise errors.UserError(
            f"--max_steps={settings.max_steps} cuts the {len(actions)} steps "
            f"of {settings.task}'s expert: allow at least as many"
          )
        writer.add(
          {c: before.observation[f"images/{c}"] for c in settings.cameras},
          {
            "qpos": before.observation["qpos"],
            "qvel": before.observation["qvel"],
            "action": action,
            "reward": np.asarray(step.reward),
          },
          is_first=before.is_first,
          is_last=last,
          is_terminal=last and step.is_terminal,
        )
    finally:
      facts = writer.close()
    highest = float(facts["reward"].max())
    if highest < (environment.success_reward or -np.inf):
      raise RuntimeError(
        f"seed {seed} succeeded in its trial but not in its replay"
      )
    return facts | {
      "control_hz": np.asarray(float(environment.control_hz)),
      "seed": np.asarray(seed),
    }

  def _made(self) -> Any:
    if self._environment is None:
      self._environment = self.simulator.make(self.settings)
    return self._environment

  def _check_stop(self) -> None:
    if self._should_stop is not None and self._should_stop():
      raise pool.Stopped


def trial_path(work: pathlib.Path, seed: int) -> pathlib.Path:
  """Returns where the trial of `seed` is kept while collecting."""
  return work / f"seed-{seed:09d}.npz"


def episode_path(work: pathlib.Path, index: int) -> pathlib.Path:
  """Returns where the facts of an episode are kept while collecting."""
  return work / f"episode-{index:05d}.npz"
