"""A renderer without OpenGL: rays through the pixels, onto MuJoCo's geoms.

Lambert shading by the lights of the scene; no textures, shadows or highlights.
What never moves is cast once for each camera; the picture is the same.

Legend: N rays, P rays that hit, G geoms. Camera axes as in MuJoCo.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8, UInt64

from carnet import errors
from carnet.envs import rays, renderers, triangles

if TYPE_CHECKING:
  import mujoco

_NOTHING = np.uint64(2**64 - 1)  # the key of a ray that meets nothing
_BACKGROUNDS = 16  # remembered before all are forgotten
_SIDES = {0: 1, 1: 1, 4: 2, 9: 3, 16: 4}  # rays a pixel: and along each side


@dataclasses.dataclass(frozen=True)
class Pose:
  """A camera's place in the world and how it sees."""

  rotation: Float[np.ndarray, "3 3"]
  position: Float[np.ndarray, " 3"]
  grid: rays.Grid


def look(
  model: "mujoco.MjModel",
  data: "mujoco.MjData",
  camera: str,
  height: int,
  width: int,
) -> Pose:
  """Returns the camera's present pose, for a picture of this size."""
  eye = data.camera(camera)
  half_angle = np.radians(model.camera(camera).fovy[0]) / 2
  grid = rays.Grid(height, width, float(height / 2 / np.tan(half_angle)))
  return Pose(eye.xmat.reshape(3, 3).copy(), eye.xpos.copy(), grid)


class Surfaces:
  """Some geoms of a model, to be cast and shaded."""

  def __init__(
    self, model: "mujoco.MjModel", geoms: Int64[np.ndarray, " G"]
  ) -> None:
    self._mesh = triangles.gather(model, geoms)
    self._color = model.geom_rgba[geoms, :3].astype(np.float32)
    head = model.vis.headlight
    diffuse = np.vstack([head.diffuse, model.light_diffuse])
    self._diffuse = diffuse.astype(np.float32)
    self._ambient = (head.ambient + model.light_ambient.sum(0)).astype("f4")

  def cast(
    self, data: "mujoco.MjData", pose: Pose
  ) -> tuple[UInt64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
    """Returns keys, ordered by depth and naming the face, and their cells."""
    mesh = self._mesh
    rotation, position = self._to_camera(data, pose)
    points = np.empty_like(mesh.vertices)
    for span, turn, shift in zip(mesh.spans, rotation, position, strict=True):
      np.matmul(turn, mesh.vertices[:, span], out=points[:, span])
      points[:, span] += shift[:, None]
    face, cell, depth = rays.cast(pose.grid, points, mesh.faces)
    bits = depth.astype(np.float32).view(np.uint32).astype(np.uint64)
    return bits << np.uint64(32) | face.astype(np.uint64), cell

  def shade(
    self,
    data: "mujoco.MjData",
    pose: Pose,
    keys: UInt64[np.ndarray, " P"],
    cells: Int64[np.ndarray, " P"],
  ) -> UInt8[np.ndarray, "P 3"]:
    """Returns colours: ambient light and Lambert's law for every lamp."""
    face = (keys & np.uint64(2**32 - 1)).astype(np.int64)
    owner = self._mesh.owner[face]
    rotation, _ = self._to_camera(data, pose)
    normal = np.einsum("pij,pj->pi", rotation[owner], self._mesh.normals[face])
    x, y = pose.grid.rays(cells)
    away = normal[:, 0] * x + normal[:, 1] * y - normal[:, 2] > 0
    normal[away] *= -1  # both sides of a surface look alike
    to_light = np.vstack([[0, 0, 1], -data.light_xdir @ pose.rotation])
    lit = np.maximum(normal @ to_light.T.astype(np.float32), 0)
    color = self._color[owner] * (lit @ self._diffuse + self._ambient)
    return (np.minimum(color, 1) * 255 + 0.5).astype(np.uint8)

  def _to_camera(
    self, data: "mujoco.MjData", pose: Pose
  ) -> tuple[Float32[np.ndarray, "G 3 3"], Float32[np.ndarray, "G 3"]]:
    geoms = self._mesh.geoms
    world = data.geom_xmat[geoms].reshape(-1, 3, 3)
    shift = data.geom_xpos[geoms] - pose.position
    return (
      (pose.rotation.T @ world).astype(np.float32),
      (shift @ pose.rotation).astype(np.float32),
    )


class Renderer:
  """Draws one model; remembers, for each camera, what does not move."""

  def __init__(
    self, model: "mujoco.MjModel", settings: renderers.Settings
  ) -> None:
    if settings.shadows:
      raise errors.UserError("shadows=True needs renderer=gl")
    if settings.msaa_samples not in _SIDES:
      samples = str(settings.msaa_samples)
      raise errors.unknown("msaa_samples", samples, map(str, _SIDES))
    self._model, self._settings = model, settings
    self._side = _SIDES[settings.msaa_samples]
    moves = model.body_weldid[model.geom_bodyid] != 0
    seen = model.geom_rgba[:, 3] > 0
    self._still = Surfaces(model, np.flatnonzero(~moves & seen))
    self._moving = Surfaces(model, np.flatnonzero(moves & seen))
    self._backgrounds: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

  def render(
    self, data: "mujoco.MjData", camera: str
  ) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the picture from the camera."""
    height, width = self._settings.height, self._settings.width
    pose = look(
      self._model, data, camera, height * self._side, width * self._side
    )
    nearest, image = (a.copy() for a in self._background(data, pose))
    draw(self._moving, data, pose, nearest, image)
    return self._average(image)

  def _background(
    self, data: "mujoco.MjData", pose: Pose
  ) -> tuple[UInt64[np.ndarray, " N"], UInt8[np.ndarray, "N 3"]]:
    """Returns keys and colours of what never moves, as last seen from here."""
    place = pose.rotation.tobytes() + pose.position.tobytes()
    found = self._backgrounds.get(place)
    if found is None:
      count = pose.grid.height * pose.grid.width
      found = np.full(count, _NOTHING), np.zeros((count, 3), np.uint8)
      draw(self._still, data, pose, *found)
      if len(self._backgrounds) >= _BACKGROUNDS:  # one of them moves
        self._backgrounds.clear()
      self._backgrounds[place] = found
    return found

  def _average(
    self, image: UInt8[np.ndarray, "N 3"]
  ) -> UInt8[np.ndarray, "H W 3"]:
    height, width = self._settings.height, self._settings.width
    side = self._side
    if side == 1:
      return image.reshape(height, width, 3)
    cells = image.reshape(height, side, width, side, 3)
    total = np.zeros((height, width, 3), np.uint16)
    for row, column in np.ndindex(side, side):  # numpy's own sum is slower
      total += cells[:, row, :, column]
    return ((total + side * side // 2) // (side * side)).astype(np.uint8)


def draw(
  surfaces: Surfaces,
  data: "mujoco.MjData",
  pose: Pose,
  nearest: UInt64[np.ndarray, " N"],
  image: UInt8[np.ndarray, "N 3"],
) -> None:
  """Draws, into both arrays, what lies before `nearest`."""
  keys, cells = surfaces.cast(data, pose)
  closer = np.flatnonzero(keys < nearest[cells])
  keys, cells = keys[closer], cells[closer]
  np.minimum.at(nearest, cells, keys)
  won = np.flatnonzero(keys == nearest[cells])
  keys, cells = keys[won], cells[won]
  image[cells] = surfaces.shade(data, pose, keys, cells)
