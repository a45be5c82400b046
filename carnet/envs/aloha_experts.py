"""Scripted experts of both ALOHA tasks, corrected for MuJoCo 3.

As in the original (tonyzhaozh/act, scripted_policy.py, record_sim_episodes.py):
both hands follow time-stamped waypoints computed once from the objects' poses,
in a scene where mocap bodies drag them; the joint positions measured there,
with the commanded grippers, become the actions of the joint-controlled scene.

Departures, without which MuJoCo >= 3 grasps or inserts nothing: stiffer welds
(aloha_scene), and the two numbers marked below for the insertion.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from carnet.envs import aloha, aloha_scene, simulator

STEPS = 400
_SUCCESS = 4.0


@dataclasses.dataclass(frozen=True)
class Demonstration:
  """One replayed episode; qpos[t] was seen before actions[t], rewards[t] after.

  Positions and velocities as the environment's "qpos" and "qvel".
  """

  seed: int
  qpos: Float32[np.ndarray, "T 14"]
  qvel: Float32[np.ndarray, "T 14"]
  actions: Float32[np.ndarray, "T 14"]
  rewards: Float32[np.ndarray, " T"]

  @property
  def success(self) -> bool:
    """Whether the highest reward, 4, was reached at some step."""
    return bool(self.rewards.max() >= _SUCCESS)

  @property
  def held(self) -> bool:
    """Whether the reward of the last step is the highest."""
    return bool(self.rewards[-1] >= _SUCCESS)


def demonstrate(task: str, seed: int) -> Demonstration:
  """Returns the expert's episode of this seed, failed or not; no pictures.

  `task` is a name of `envs.make`. The same task and seed give the same episode.
  """
  name = task.removeprefix("aloha/")
  scene = aloha_scene.load(name)
  objects = aloha_scene.sample_objects(name, seed)
  actions = _track(name, objects, _plan(name, objects))
  data = simulator.load().MjData(scene.model)
  aloha.place(scene, data, objects)
  positions, velocities, rewards = [], [], []
  for action in actions:
    positions.append(aloha_scene.arm_positions(data.qpos))
    velocities.append(aloha_scene.arm_velocities(data.qvel))
    data.ctrl[:] = aloha.controls(action)
    aloha.advance(scene, data)
    rewards.append(aloha.reward(name, scene, data))
  return Demonstration(
    seed,
    np.asarray(positions, np.float32),
    np.asarray(velocities, np.float32),
    actions,
    np.asarray(rewards, np.float32),
  )


def _track(
  task: str,
  objects: Float[np.ndarray, " Q"],
  hands: Float[np.ndarray, "T 2 8"],
) -> Float32[np.ndarray, "T 14"]:
  """Drags the hands along the plan; returns joints reached and openings asked.

  The action at a step is the state before it, as in the original.
  """
  scene = aloha_scene.load(task, end_effector=True)
  data = simulator.load().MjData(scene.model)
  aloha.place(scene, data, objects)
  openings = np.zeros(2)
  actions = []
  for hand in hands:
    action = aloha_scene.arm_positions(data.qpos)
    action[[6, 13]] = openings
    actions.append(action)
    openings = hand[:, 7]
    fingers = aloha_scene.gripper_to_metres(openings[:, None])
    data.mocap_pos[:], data.mocap_quat[:] = hand[:, :3], hand[:, 3:7]
    data.ctrl[:] = np.concatenate([fingers, -fingers], axis=1).reshape(4)
    aloha.advance(scene, data)
  return np.asarray(actions, np.float32)


Triple = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
# A hand at a step: position in metres, rotation, opening from 0 to 1.
Waypoint = tuple[int, Triple, Quaternion, float]


def _plan(
  task: str, objects: Float[np.ndarray, " Q"]
) -> Float[np.ndarray, "T 2 8"]:
  """Returns both hands' poses and openings at every step, left first."""
  places = [tuple(pose[:3].tolist()) for pose in objects.reshape(-1, 7)]
  if task == "transfer_cube":
    hands = _transfer_cube(*places)
  else:
    hands = _insertion(*places)
  return np.stack([_interpolate(hand) for hand in hands], axis=1)


def _interpolate(waypoints: Sequence[Waypoint]) -> Float[np.ndarray, "T 8"]:
  # Quaternions are mixed linearly; MuJoCo normalises what it is given.
  steps = [step for step, *_ in waypoints]
  rows = np.array([[*p, *q, opening] for _, p, q, opening in waypoints])
  return np.stack([np.interp(np.arange(STEPS), steps, r) for r in rows.T], 1)


def _by(
  origin: Triple, x: float = 0.0, y: float = 0.0, z: float = 0.0
) -> Triple:
  return origin[0] + x, origin[1] + y, origin[2] + z


_HALF = math.sqrt(0.5)  # sine and cosine of half of 90 degrees
_THIRD = math.sqrt(0.75)  # cosine of half of 60 degrees; the sine is 1 / 2
_LEVEL = (1.0, 0.0, 0.0, 0.0)
_ON_ITS_SIDE = (_HALF, _HALF, 0.0, 0.0)  # 90 degrees about x
_DOWN_FROM_RIGHT = (_THIRD, 0.0, -0.5, 0.0)  # -60 degrees about y
_DOWN_FROM_LEFT = (_THIRD, 0.0, 0.5, 0.0)


def _transfer_cube(cube: Triple) -> tuple[list[Waypoint], list[Waypoint]]:
  meet = (0.0, 0.5, 0.25)
  rest_left, rest_right = aloha_scene.REST_HANDS
  left: list[Waypoint] = [
    (0, rest_left, _LEVEL, 0.0),
    (100, _by(meet, x=-0.1, z=-0.02), _ON_ITS_SIDE, 1.0),
    (260, _by(meet, x=0.02, z=-0.02), _ON_ITS_SIDE, 1.0),
    (310, _by(meet, x=0.02, z=-0.02), _ON_ITS_SIDE, 0.0),  # takes the cube
    (360, _by(meet, x=-0.1, z=-0.02), _LEVEL, 0.0),
    (400, _by(meet, x=-0.1, z=-0.02), _LEVEL, 0.0),
  ]
  right: list[Waypoint] = [
    (0, rest_right, _LEVEL, 0.0),
    (90, _by(cube, z=0.08), _DOWN_FROM_RIGHT, 1.0),
    (130, _by(cube, z=-0.015), _DOWN_FROM_RIGHT, 1.0),
    (170, _by(cube, z=-0.015), _DOWN_FROM_RIGHT, 0.0),  # grasps the cube
    (200, _by(meet, x=0.05), _DOWN_FROM_RIGHT, 0.0),
    (220, meet, _DOWN_FROM_RIGHT, 0.0),
    (310, meet, _DOWN_FROM_RIGHT, 1.0),  # lets go
    (360, _by(meet, x=0.1), _DOWN_FROM_RIGHT, 1.0),
    (400, _by(meet, x=0.1), _DOWN_FROM_RIGHT, 1.0),
  ]
  return left, right


# The original has 0.05 and 0.00715, for MuJoCo 2.3; these are for 3.8.
_INSERTED = 0.045  # metres of either hand from the middle at the end
_LIFT_RIGHT = 0.0115  # metres by which the peg's hand is higher


def _insertion(
  peg: Triple, socket: Triple
) -> tuple[list[Waypoint], list[Waypoint]]:
  rest_left, rest_right = aloha_scene.REST_HANDS
  return (
    _hold_and_push(rest_left, socket, _DOWN_FROM_LEFT, -1, 0.0),
    _hold_and_push(rest_right, peg, _DOWN_FROM_RIGHT, 1, _LIFT_RIGHT),
  )


def _hold_and_push(
  rest: Triple, thing: Triple, rotation: Quaternion, side: int, lift: float
) -> list[Waypoint]:
  meet = (0.0, 0.5, 0.15 + lift)
  return [
    (0, rest, _LEVEL, 0.0),
    (120, _by(thing, z=0.08), rotation, 1.0),
    (170, _by(thing, z=-0.03), rotation, 1.0),
    (220, _by(thing, z=-0.03), rotation, 0.0),  # grasps
    (285, _by(meet, x=side * 0.1), rotation, 0.0),
    (340, _by(meet, x=side * _INSERTED), rotation, 0.0),
    (400, _by(meet, x=side * _INSERTED), rotation, 0.0),
  ]
