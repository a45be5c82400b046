"""A renderer without OpenGL: rays through the pixels, onto MuJoCo's geoms.

A ray is tried only on the triangles whose screen rectangle holds its pixel,
all pairs at once in numpy. MuJoCo's own caster (mj_multiRay) finds the same
surfaces, held by tests/carnet/envs/test_raycast.py, but spends 9 microseconds
on each ray that hits an arm, ten times as much. What never moves is cast once.
Lambert shading by the lights of the scene; no textures, no shadows.

Legend: V vertices, F triangles, K pairs of triangle and ray, P rays that hit,
N rays, G geoms. Camera axes as in MuJoCo: x right, y up, looking along -z.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8, UInt64

from carnet import errors
from carnet.envs import renderers, triangles

if TYPE_CHECKING:
  import mujoco

_NEAR = 1e-3  # metres; no surface comes closer to a camera
_NOTHING = np.uint64(2**64 - 1)
_CAMERAS = 16  # remembered backgrounds
_SIDES = {0: 1, 1: 1, 4: 2, 9: 3, 16: 4}  # rays a pixel: and along each side


@dataclasses.dataclass(frozen=True)
class Grid:
  """Rays through the centres of cells on a plane at depth 1, row by row."""

  height: int
  width: int
  focal: float  # cells per metre at depth 1

  def rays(
    self, cells: Int64[np.ndarray, " K"]
  ) -> tuple[Float32[np.ndarray, " K"], Float32[np.ndarray, " K"]]:
    """Returns x and y at depth 1 of the rays of these cells."""
    row, column = np.divmod(cells, self.width)
    x = (column - (self.width / 2 - 0.5)) / self.focal
    y = ((self.height / 2 - 0.5) - row) / self.focal
    return x.astype(np.float32), y.astype(np.float32)

  def candidates(
    self,
    points: Float32[np.ndarray, "3 V"],
    faces: Int64[np.ndarray, "3 F"],
  ) -> tuple[
    Int64[np.ndarray, " F2"], Int64[np.ndarray, " K"], Int64[np.ndarray, " K"]
  ]:
    """Returns faces that may meet a ray, and pairs: index in them, cell."""
    scale = np.float32(self.focal) / np.maximum(-points[2], _NEAR)
    count = self._count_behind(points, faces)
    column = points[0] * scale + np.float32(self.width / 2 - 0.5)
    left, right = _extent(column, faces, count, self.width)
    wide = np.flatnonzero(left < right)
    row = np.float32(self.height / 2 - 0.5) - points[1] * scale
    count = None if count is None else count[wide]
    top, bottom = _extent(row, faces[:, wide], count, self.height)
    tall = np.flatnonzero(top < bottom)
    kept, top, height = wide[tall], top[tall], (bottom - top)[tall]
    left, width = left[kept], right[kept] - left[kept]
    area = height * width
    pair = np.repeat(np.arange(len(kept)), area)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(area) - area, area)
    down, across = np.divmod(place, width[pair])
    return kept, pair, (top[pair] + down) * self.width + left[pair] + across

  def _count_behind(
    self, points: Float32[np.ndarray, "3 V"], faces: Int64[np.ndarray, "3 F"]
  ) -> Int64[np.ndarray, " F"] | None:
    """Returns each face's vertices behind the camera, 3 if out of sight.

    None, which most often is so, where no vertex is behind it.
    """
    x, y, z = points
    behind = z > -_NEAR
    if not behind.any():
      return None
    count = behind[faces].sum(0)
    reach_x = z * np.float32(-self.width / 2 / self.focal)
    reach_y = z * np.float32(-self.height / 2 / self.focal)
    for beyond in (x > reach_x, -x > reach_x, y > reach_y, -y > reach_y):
      count[beyond[faces].all(0)] = 3
    return count


def _extent(
  position: Float32[np.ndarray, " V"],
  faces: Int64[np.ndarray, "3 F"],
  behind: Int64[np.ndarray, " F"] | None,
  size: int,
) -> tuple[Int64[np.ndarray, " F"], Int64[np.ndarray, " F"]]:
  """Returns the first cell that a face spans and the one after its last.

  `behind` counts a face's vertices behind the camera: with one or two its
  projection is not bounded by theirs; with three it has none.
  """
  after = np.ceil(np.clip(position, 0, size)).astype(np.int64)
  a, b, c = after[faces[0]], after[faces[1]], after[faces[2]]
  first, end = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
  if behind is not None:
    first = np.where(behind > 0, 0, first)
    end = np.where(behind > 0, np.where(behind < 3, size, 0), end)
  return first, end


def cast(
  grid: Grid,
  points: Float32[np.ndarray, "3 V"],
  faces: Int64[np.ndarray, "3 F"],
) -> tuple[
  Int64[np.ndarray, " P"], Int64[np.ndarray, " P"], Float32[np.ndarray, " P"]
]:
  """Returns face, cell and depth (metres) of all meetings.

  A ray r passes the triangle abc where r.(a x b), r.(b x c) and r.(c x a) have
  one sign. Two triangles compute their common edge alike, so that no ray slips
  between them.
  """
  kept, pair, cell = grid.candidates(points, faces)
  a, b, c = points[:, faces[:, kept]].swapaxes(0, 1)
  edges = (_cross(b, c), _cross(c, a), _cross(a, b))
  x, y = grid.rays(cell)
  u, v, w = (x * e[0][pair] + y * e[1][pair] - e[2][pair] for e in edges)
  total = u + v + w
  inside = (np.minimum(np.minimum(u, v), w) >= 0) & (total > 0)
  inside |= (np.maximum(np.maximum(u, v), w) <= 0) & (total < 0)
  hit = np.flatnonzero(inside)
  volume = (a * edges[0]).sum(0)
  depth = volume[pair[hit]] / total[hit]
  ahead = depth > _NEAR
  hit = hit[ahead]
  return kept[pair[hit]], cell[hit], depth[ahead]


def _cross(
  a: Float32[np.ndarray, "3 F"], b: Float32[np.ndarray, "3 F"]
) -> Float32[np.ndarray, "3 F"]:
  return np.stack(
    [
      a[1] * b[2] - a[2] * b[1],
      a[2] * b[0] - a[0] * b[2],
      a[0] * b[1] - a[1] * b[0],
    ]
  )


@dataclasses.dataclass(frozen=True)
class Pose:
  """A camera's place in the world and how it sees."""

  rotation: Float[np.ndarray, "3 3"]
  position: Float[np.ndarray, " 3"]
  grid: Grid


class Surfaces:
  """Some geoms of a model, to be cast and shaded."""

  def __init__(
    self, model: "mujoco.MjModel", geoms: Int64[np.ndarray, " G"]
  ) -> None:
    self._mesh = triangles.gather(model, geoms)
    self._color = model.geom_rgba[geoms, :3].astype(np.float32)
    headlight = model.vis.headlight
    self._diffuse = np.vstack([headlight.diffuse, model.light_diffuse])
    self._ambient = headlight.ambient + model.light_ambient.sum(0)

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
    face, cell, depth = cast(pose.grid, points, mesh.faces)
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
    pose = self._pose(data, camera)
    nearest, image = (a.copy() for a in self._background(data, pose))
    _draw(self._moving, data, pose, nearest, image)
    return self._average(image)

  def _pose(self, data: "mujoco.MjData", camera: str) -> Pose:
    eye, settings = data.camera(camera), self._settings
    height, width = settings.height * self._side, settings.width * self._side
    half_angle = np.radians(self._model.camera(camera).fovy[0]) / 2
    focal = float(height / 2 / np.tan(half_angle))
    return Pose(
      eye.xmat.reshape(3, 3).copy(), eye.xpos.copy(), Grid(height, width, focal)
    )

  def _background(
    self, data: "mujoco.MjData", pose: Pose
  ) -> tuple[UInt64[np.ndarray, " N"], UInt8[np.ndarray, "N 3"]]:
    """Returns keys and colours of what never moves, as last seen from here."""
    place = pose.rotation.tobytes() + pose.position.tobytes()
    found = self._backgrounds.get(place)
    if found is None:
      count = pose.grid.height * pose.grid.width
      found = np.full(count, _NOTHING), np.zeros((count, 3), np.uint8)
      _draw(self._still, data, pose, *found)
      if len(self._backgrounds) >= _CAMERAS:  # one of them moves
        self._backgrounds.clear()
      self._backgrounds[place] = found
    return found

  def _average(
    self, image: UInt8[np.ndarray, "N 3"]
  ) -> UInt8[np.ndarray, "H W 3"]:
    height, width, side = (
      self._settings.height,
      self._settings.width,
      self._side,
    )
    if side == 1:
      return image.reshape(height, width, 3)
    cells = image.reshape(height, side, width, side, 3)
    total = cells.sum((1, 3), dtype=np.uint16)
    return ((total + side * side // 2) // (side * side)).astype(np.uint8)


def _draw(
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
