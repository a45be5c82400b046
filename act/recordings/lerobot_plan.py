"""What a LeRobotDataset made of a recording will hold, and under which names.

camera top            -> observation.images.top
qpos, state           -> observation.state
qvel                  -> observation.velocity
reward                -> next.reward
anything else         -> observation.NAME
observation..., action..., next...   unchanged
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from act.recordings import base, own_rewards
from carnet import errors

COUNTERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_VECTORS = {
  "qpos": "observation.state",
  "state": "observation.state",
  "qvel": "observation.velocity",
  "velocity": "observation.velocity",
  "reward": "next.reward",
  "actions": "action",
  "base_action": "action.base",
}
_FLAGS = ("next.done", "next.success")
_UNCHANGED = re.compile(r"(observation|action|next)(\.[^/]+)?")


@dataclasses.dataclass(frozen=True)
class Plan:
  """Names of LeRobot for what a recording has.

  Attributes:
    fps: whole frames a second.
    cameras: feature -> camera of the recording.
    vectors: feature -> values of all frames, [F] where one number wide.
    names: feature -> names of its dimensions, or None.
    tasks: the texts, by their index.
    task_indices: of each episode.
    robot_type: if known.
  """

  fps: int
  cameras: Mapping[str, str]
  vectors: Mapping[str, np.ndarray]
  names: Mapping[str, list[str] | None]
  tasks: tuple[str, ...]
  task_indices: tuple[int, ...]
  robot_type: str | None


def of(found: base.Recording, fps: float | None = None) -> Plan:
  """Returns the plan.

  Raises:
    UserError: LeRobot cannot hold this.
  """
  cameras: dict[str, str] = {}
  for name, camera in found.cameras.items():
    if camera.height % 2 or camera.width % 2:
      raise errors.UserError(
        f"{found.origin}: camera '{name}' has {camera.height}x{camera.width} "
        "pixels, and videos (yuv420p) need even numbers of them"
      )
    _add(cameras, camera_name(name), name, found)
  vectors: dict[str, str] = {}
  for name in found.vectors:
    _add(vectors, vector_name(name), name, found)
    if vector_name(name) in cameras:
      raise errors.UserError(
        f"{found.origin}: '{name}' is a camera and a vector"
      )
  values = {
    feature: _column(feature, found.vectors[name].values)
    for feature, name in vectors.items()
  }
  tasks = [_text(found, task) for task in found.tasks]
  texts = tuple(dict.fromkeys(tasks))
  return Plan(
    fps=_whole(found, fps),
    cameras=cameras,
    vectors={**own_rewards.of(found), **values},
    names={
      feature: list(found.vectors[name].names) or None
      for feature, name in vectors.items()
    },
    tasks=texts,
    task_indices=tuple(texts.index(task) for task in tasks),
    robot_type=_robot_type(found),
  )


def features(plan: Plan, found: base.Recording, codec: str) -> dict[str, Any]:
  """Returns the features of meta/info.json, in the order of LeRobot."""
  table: dict[str, Any] = {}
  for feature, name in plan.cameras.items():
    camera = found.cameras[name]
    table[feature] = {
      "dtype": "video",
      "shape": [camera.height, camera.width, 3],
      "names": ["height", "width", "channels"],
      "info": {
        "video.height": camera.height,
        "video.width": camera.width,
        "video.codec": codec,
        "video.pix_fmt": "yuv420p",
        "video.fps": plan.fps,
        "video.channels": 3,
        "has_audio": False,
        "video.g": 2,
        "video.crf": 30,
        **({"video.preset": 12} if codec == "av1" else {}),
        "video.fast_decode": 0,
        "video.video_backend": "pyav",
        "video.extra_options": {},
        "is_depth_map": False,
      },
    }
  for feature, values in plan.vectors.items():
    table[feature] = {
      "dtype": values.dtype.name,
      "shape": list(values.shape[1:]) or [1],
      "names": plan.names.get(feature),
    }
  for name in COUNTERS:
    dtype = "float32" if name == "timestamp" else "int64"
    table[name] = {"dtype": dtype, "shape": [1], "names": None}
  return table


def camera_name(name: str) -> str:
  """Returns the feature that a camera of a recording becomes."""
  if name.startswith("observation.") and "/" not in name:
    return name
  return f"observation.images.{_plain(name)}"


def vector_name(name: str) -> str:
  """Returns the feature that a vector of a recording becomes."""
  if name in _VECTORS:
    return _VECTORS[name]
  if _UNCHANGED.fullmatch(name):
    return name
  if name.startswith("action/"):  # a part of it, in RLDS
    return f"action.{_plain(name.removeprefix('action/'))}"
  return f"observation.{_plain(name)}"


def _plain(name: str) -> str:
  """Returns a name without slashes, at which LeRobot splits."""
  for beginning in ("observations/images/", "observations/", "observation/"):
    name = name.removeprefix(beginning)
  return name.replace("/", "_")


def _add(
  names: dict[str, str], feature: str, name: str, found: base.Recording
) -> None:
  if feature in names or feature in COUNTERS:
    raise errors.UserError(
      f"{found.origin}: '{names.get(feature, 'a counter')}' and '{name}' would "
      f"both be '{feature}' in a LeRobotDataset"
    )
  names[feature] = name


def _column(feature: str, values: np.ndarray) -> np.ndarray:
  column = values[:, 0] if values.shape[1] == 1 else values
  # flags, which a Recording holds as numbers
  return column.astype(np.bool_) if feature in _FLAGS else column


def _text(found: base.Recording, task: str) -> str:
  """Returns "transfer cube" of our "aloha/transfer_cube", else the text."""
  if "carnet" in found.format and task == found.identity:
    return task.rpartition("/")[2].replace("_", " ")
  return task


def _whole(found: base.Recording, fps: float | None) -> int:
  told = found.fps is not None and found.fps == round(found.fps)
  if fps is not None and told and fps != found.fps:
    raise errors.UserError(
      f"{found.origin} has {found.fps:g} frames a second, not --fps={fps:g}"
    )
  rate = found.fps if fps is None else fps
  if rate is None:
    raise errors.UserError(
      f"{found.origin} does not tell its frames a second: add --fps"
    )
  if rate < 1 or rate != round(rate):
    raise errors.UserError(
      f"{found.origin}: {rate} frames a second, LeRobot takes whole numbers: "
      "say which with --fps"
    )
  return round(rate)


def _robot_type(found: base.Recording) -> str | None:
  stored = found.details.get("robot_type")
  if isinstance(stored, str):
    return stored
  return "aloha" if found.identity.startswith("aloha/") else None
