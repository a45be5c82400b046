"""A sound recording by hand, and ways to spoil it."""

import dataclasses
import pathlib
import types

import numpy as np
import pytest

from act.recordings import base
from carnet import errors

NUMBERS = (3, 4, 5, 6, 7, 8)  # the data begin with episode 3
LENGTH, FPS, JOINTS = 60, 20.0, ("waist", "elbow", "gripper")
SIZE = (24, 32)


@dataclasses.dataclass
class Scene:
  """Arrays of a recording, to be changed before it is one; [episode, frame]."""

  states: np.ndarray
  actions: np.ndarray
  pictures: dict[str, np.ndarray]
  lengths: list[int]
  tasks: list[str]
  statistics: dict[str, dict[str, list[float]]]
  more: dict[str, np.ndarray]  # further vectors, of one dimension
  changes: dict[str, object]  # fields of the recording
  broken: set[int]  # episodes whose pictures cannot be read

  def recording(self):
    """Returns the recording."""
    lengths = np.array(self.lengths, np.int64)

    def flat(array):
      return np.concatenate(
        [x[:n] for x, n in zip(array, self.lengths, strict=True)]
      )

    vectors = {
      "observation.state": base.Vector(flat(self.states), JOINTS),
      "action": base.Vector(flat(self.actions), JOINTS),
    }
    for name, values in self.more.items():
      vectors[name] = base.Vector(flat(values))
    shown = {name: flat(x) for name, x in self.pictures.items()}
    episode = np.repeat(np.array(NUMBERS), lengths)

    def read(frames, names):
      for number in np.unique(episode[frames]):
        if number in self.broken:
          raise errors.UserError(f"x.mp4 (episode {number}): truncated")
      return {name: shown[name][frames] for name in names}

    found = base.Recording(
      origin="lerobot:data/hand",
      path=pathlib.Path("data/hand"),
      identity="hand",
      format="by hand",
      revision="abc",
      fps=FPS,
      cameras={name: base.Camera(*SIZE) for name in shown},
      vectors=vectors,
      lengths=lengths,
      episodes=np.array(NUMBERS),
      tasks=tuple(self.tasks),
      statistics=self.statistics,
      skipped=(),
      details={},
      open_images=lambda names: types.SimpleNamespace(
        read=lambda frames: read(frames, names)
      ),
    )
    return dataclasses.replace(found, **self.changes)


def measured(array):
  values = array.reshape(-1, array.shape[-1]).astype(np.float64)
  return {
    "mean": values.mean(axis=0).tolist(),
    "std": values.std(axis=0).tolist(),
    "min": values.min(axis=0).tolist(),
    "max": values.max(axis=0).tolist(),
  }


@pytest.fixture
def scene():
  """Returns 6 episodes in which all joints move and two cameras see it."""
  rng = np.random.default_rng(0)
  times = np.arange(LENGTH + 2)
  phases = rng.uniform(0, 6, (len(NUMBERS), 1, len(JOINTS)))
  path = np.sin(times[None, :, None] / 9 + phases) * (1.0, 0.5, 0.2)
  states = path[:, :LENGTH].astype(np.float32)
  states += rng.normal(0, 1e-3, states.shape).astype(np.float32)
  actions = path[:, 2:].astype(np.float32)
  row, column = np.mgrid[: SIZE[0], : SIZE[1]]
  where = states[..., 0, None, None]
  blob = np.exp(-((column - 16 - 12 * where) ** 2 + (row - 12) ** 2) / 20)
  top = np.repeat((60 + 150 * blob).astype(np.uint8)[..., None], 3, axis=-1)
  wrist = 128 + 100 * np.sin(column / 4 + 6 * where)
  wrist = np.repeat(wrist.astype(np.uint8)[..., None], 3, axis=-1)
  return Scene(
    states=states,
    actions=actions,
    pictures={"top": top, "wrist": wrist},
    lengths=[LENGTH] * len(NUMBERS),
    tasks=["push"] * len(NUMBERS),
    statistics={
      "observation.state": measured(states),
      "action": measured(actions),
    },
    more={},
    changes={},
    broken=set(),
  )
