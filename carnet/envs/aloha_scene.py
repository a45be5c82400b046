"""The ALOHA scenes of the installed gym-aloha wheel: found, never imported.

Importing gym_aloha would import dm_control, which ties everything to one
MuJoCo; the XML and meshes alone do not.
"""

import copy
import dataclasses
import functools
import importlib.util
import pathlib
import threading
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from carnet import errors
from carnet.envs import simulator

if TYPE_CHECKING:
  import mujoco

CONTROL_HZ = 50.0
# gym_aloha/constants.py: both arms alike, the two fingers of a hand mirrored.
START_POSE = (0, -0.96, 1.16, 0, -0.3, 0, 0.02239, -0.02239) * 2
GRIPPER_CLOSED, GRIPPER_OPEN = 0.01844, 0.05800  # finger slide, metres
_GRIPPER_SPAN = GRIPPER_OPEN - GRIPPER_CLOSED
# Where the grippers are at rest; mocap bodies begin there.
# gym_aloha/tasks/sim_end_effector.py
REST_HANDS = (
  (-0.31718881, 0.5, 0.29525084),
  (0.31718881, 0.49999888, 0.29525084),
)
# `torquescale` of the welds between mocap bodies and grippers, 1 in the XML.
# Since MuJoCo 3 the rotational part does not hold with 1: the forearms roll by
# a radian and the grippers miss. tonyzhaozh/act issue 45
_TORQUE_SCALE = {"transfer_cube": 20.0, "insertion": 50.0}
_TORQUE_SCALE_COLUMN = 10  # of model.eq_data
_LOCK = threading.Lock()

# Where the objects start: ranges of x, y, z in metres, in the order of their
# free joints. gym_aloha/utils.py
_RANGES = {
  "transfer_cube": (((0.0, 0.2), (0.4, 0.6), (0.05, 0.05)),),
  "insertion": (
    ((0.1, 0.2), (0.4, 0.6), (0.05, 0.05)),  # peg
    ((-0.2, -0.1), (0.4, 0.6), (0.05, 0.05)),  # socket
  ),
}
TASKS = tuple(_RANGES)


def sample_objects(task: str, seed: int) -> Float[np.ndarray, " Q"]:
  """Returns the objects' initial poses (x, y, z, unit quaternion) of a seed."""
  random = np.random.RandomState(seed)  # as gym_aloha draws them
  poses = []
  for ranges in _RANGES[task]:
    low, high = np.transpose(ranges)
    poses += [random.uniform(low, high), [1.0, 0.0, 0.0, 0.0]]
  return np.concatenate(poses)


@dataclasses.dataclass(frozen=True)
class Scene:
  """A compiled scene, shared by all environments and never written to."""

  model: "mujoco.MjModel"
  passive_model: "mujoco.MjModel"  # the same without actuation, for resets
  substeps: int
  geom_names: tuple[str, ...]
  cameras: tuple[str, ...]

  def touching(self, data: "mujoco.MjData") -> set[tuple[str, str]]:
    """Returns the names of the geoms in contact, in MuJoCo's order."""
    names = self.geom_names
    return {(names[a], names[b]) for a, b in data.contact.geom.tolist()}


def load(task: str, end_effector: bool = False) -> Scene:
  """Returns the task's scene, driven by joint targets or by mocap bodies."""
  if task not in _RANGES:
    raise errors.unknown("task", f"aloha/{task}", (f"aloha/{t}" for t in TASKS))
  with _LOCK:  # compiled once, also when many threads ask at the same time
    return _load(task, end_effector)


@functools.cache
def _load(task: str, end_effector: bool) -> Scene:
  mujoco = simulator.load()
  kind = "end_effector_" if end_effector else ""
  path = _assets() / f"bimanual_viperx_{kind}{task}.xml"
  model = mujoco.MjModel.from_xml_path(str(path))
  if end_effector:
    model.eq_data[:, _TORQUE_SCALE_COLUMN] = _TORQUE_SCALE[task]
    model.body_pos[model.body_mocapid >= 0] = REST_HANDS
  passive = copy.copy(model)
  passive.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ACTUATION
  return Scene(
    model,
    passive,
    substeps=round(1 / CONTROL_HZ / model.opt.timestep),
    geom_names=tuple(model.geom(i).name for i in range(model.ngeom)),
    cameras=tuple(model.camera(i).name for i in range(model.ncam)),
  )


def _assets() -> pathlib.Path:
  spec = importlib.util.find_spec("gym_aloha")
  if spec is None or spec.origin is None:
    raise errors.UserError(
      "the ALOHA scenes are not installed: pip install 'carnet[aloha]'"
    )
  return pathlib.Path(spec.origin).parent / "assets"


def gripper_to_metres(
  opening: Float[np.ndarray, "..."],
) -> Float[np.ndarray, "..."]:
  """Maps normalised openings (0 closed, 1 open) to a finger's slide."""
  return opening * _GRIPPER_SPAN + GRIPPER_CLOSED


def arm_positions(
  qpos: Float[np.ndarray, " Q"],
) -> Float[np.ndarray, " 14"]:
  """Returns joint angles (rad) and normalised gripper openings, left first."""
  arms = qpos[:16].reshape(2, 8)[:, :7].copy()
  arms[:, 6] = (arms[:, 6] - GRIPPER_CLOSED) / _GRIPPER_SPAN
  return arms.reshape(14)


def arm_velocities(
  qvel: Float[np.ndarray, " V"],
) -> Float[np.ndarray, " 14"]:
  """Returns joint (rad/s) and normalised gripper (1/s) velocities."""
  arms = qvel[:16].reshape(2, 8)[:, :7].copy()
  arms[:, 6] /= _GRIPPER_SPAN
  return arms.reshape(14)
