"""The surfaces of a MuJoCo model as one set of triangles."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64

from carnet.envs import simulator

if TYPE_CHECKING:
  import mujoco

# A box's corners in units of its half sizes, and its sides, which turn
# counter-clockwise seen from outside as those of meshes do.
_CORNERS = np.array(
  [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
)
_SIDES = (
  *((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1)),
  *((2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)),
)
_BOX = np.array(
  [half for a, b, c, d in _SIDES for half in ((a, b, c), (a, c, d))]
)


@dataclasses.dataclass(frozen=True)
class Triangles:
  """V vertices and F faces of some geoms, each in its own geom's axes."""

  geoms: Int64[np.ndarray, " G"]
  spans: tuple[slice, ...]  # of each geom in `vertices`
  vertices: Float32[np.ndarray, "3 V"]
  faces: Int64[np.ndarray, "3 F"]
  normals: Float32[np.ndarray, "F 3"]  # outwards, of length 1
  owner: Int64[np.ndarray, " F"]  # index into `geoms`


def gather(
  model: "mujoco.MjModel", geoms: Int64[np.ndarray, " G"]
) -> Triangles:
  """Returns the triangles of these geoms, meshes and boxes."""
  parts = [_geom(model, geom) for geom in geoms.tolist()]
  sizes = [len(points) for points, _ in parts]
  starts = np.cumsum([0, *sizes])
  points = np.concatenate([points for points, _ in parts])
  faces = np.concatenate(
    [faces + start for (_, faces), start in zip(parts, starts, strict=False)]
  )
  a, b, c = points[faces].swapaxes(0, 1)
  normals = np.cross(b - a, c - a)
  lengths = np.linalg.norm(normals, axis=1, keepdims=True)
  return Triangles(
    geoms,
    tuple(slice(s, s + n) for s, n in zip(starts, sizes, strict=False)),
    np.ascontiguousarray(points.T, np.float32),
    np.ascontiguousarray(faces.T, np.int64),
    (normals / np.maximum(lengths, 1e-30)).astype(np.float32),
    np.repeat(np.arange(len(parts)), [len(faces) for _, faces in parts]),
  )


def _geom(model: "mujoco.MjModel", geom: int) -> tuple[np.ndarray, np.ndarray]:
  kinds = simulator.load().mjtGeom
  if model.geom_type[geom] == kinds.mjGEOM_BOX:
    return _CORNERS * model.geom_size[geom], _BOX
  if model.geom_type[geom] == kinds.mjGEOM_MESH:
    mesh = model.mesh(model.geom_dataid[geom])
    start, first = int(mesh.vertadr[0]), int(mesh.faceadr[0])
    points = model.mesh_vert[start : start + int(mesh.vertnum[0])]
    faces = model.mesh_face[first : first + int(mesh.facenum[0])]
    return points.astype(np.float64), faces.astype(np.int64)
  raise NotImplementedError(
    f"renderer=raycast knows meshes and boxes, not {model.geom(geom).name}"
  )
