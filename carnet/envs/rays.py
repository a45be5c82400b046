"""Which triangles do the rays of a picture meet, and how far away.

A ray is tried only on the triangles whose screen rectangle holds its pixel, all
pairs at once in numpy. MuJoCo's own caster (mj_multiRay) finds the same
surfaces, held by tests/carnet/envs/test_raycast.py, but spends 9 microseconds
on each ray that hits an arm, more than ten times as much.

Legend: V vertices, F and F2 triangles and some of them, K pairs of a triangle
and a ray, P pairs that meet. Camera axes as in MuJoCo: x right, y up, looking
along -z; depths in metres along that axis.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64

_NEAR = 1e-3  # metres; no surface comes closer to a camera


class Rectangles(NamedTuple):
  """Cells of a grid, one rectangle a face."""

  top: Int32[np.ndarray, " F"]
  left: Int32[np.ndarray, " F"]
  height: Int32[np.ndarray, " F"]
  width: Int32[np.ndarray, " F"]


@dataclasses.dataclass(frozen=True)
class Grid:
  """Rays through the centres of cells on a plane at depth 1, row by row."""

  height: int
  width: int
  focal: float  # cells per metre at depth 1

  def ray_y(self, row: Int64[np.ndarray, " K"]) -> Float32[np.ndarray, " K"]:
    """Returns the y of a row's rays at depth 1."""
    return (((self.height / 2 - 0.5) - row) / self.focal).astype(np.float32)

  def rays(
    self, cells: Int64[np.ndarray, " K"]
  ) -> tuple[Float32[np.ndarray, " K"], Float32[np.ndarray, " K"]]:
    """Returns x and y at depth 1 of the rays of these cells."""
    row, column = np.divmod(cells, self.width)
    x = (column - (self.width / 2 - 0.5)) / self.focal
    return x.astype(np.float32), self.ray_y(row)

  def column(self, x: Float32[np.ndarray, " K"]) -> Float32[np.ndarray, " K"]:
    """Returns the column, not rounded, of the rays with this x at depth 1."""
    return x * np.float32(self.focal) + np.float32(self.width / 2 - 0.5)

  def spanning(
    self, points: Float32[np.ndarray, "3 V"], faces: Int64[np.ndarray, "3 F"]
  ) -> tuple[Int64[np.ndarray, " F2"], Rectangles]:
    """Returns the faces whose rectangle holds a ray, and the rectangles."""
    scale = np.float32(self.focal) / np.maximum(-points[2], _NEAR)
    column = points[0] * scale + np.float32(self.width / 2 - 0.5)
    row = np.float32(self.height / 2 - 0.5) - points[1] * scale
    # The first ray after each vertex, both ways in one word: most faces are
    # smaller than a cell, and one look tells that no ray passes between.
    word = np.ceil(np.clip(row, 0, self.height)).astype(np.int32) << 16
    word |= np.ceil(np.clip(column, 0, self.width)).astype(np.int32)
    a, b, c = word[faces[0]], word[faces[1]], word[faces[2]]
    differ = (a ^ b) | (a ^ c)
    holds = (differ & 0xFFFF).astype(bool) & (differ > 0xFFFF)
    count = self._count_behind(points, faces)
    if count is not None:
      holds = (holds & (count == 0)) | (count % 3 > 0)
    kept = np.flatnonzero(holds)
    words = np.stack([a[kept], b[kept], c[kept]])
    if count is not None:  # the projection is not bounded by the vertices'
      words[:2, count[kept] > 0] = [[0], [self.height << 16 | self.width]]
    return kept, _rectangles(words)

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


def _rectangles(words: Int32[np.ndarray, "3 F"]) -> Rectangles:
  columns, rows = words & 0xFFFF, words >> 16
  top, left = rows.min(0), columns.min(0)
  return Rectangles(top, left, rows.max(0) - top, columns.max(0) - left)


def cast(
  grid: Grid,
  points: Float32[np.ndarray, "3 V"],
  faces: Int64[np.ndarray, "3 F"],
) -> tuple[
  Int64[np.ndarray, " P"], Int64[np.ndarray, " P"], Float32[np.ndarray, " P"]
]:
  """Returns face, cell and depth of all meetings of faces and rays.

  Meshes are closed: only the sides that face the camera count.
  """
  kept, rectangles = grid.spanning(points, faces)
  a, b, c = points[:, faces[:, kept]].swapaxes(0, 1)
  normal = _cross(b - a, c - a)
  distance = (a * normal).sum(0)
  front = np.flatnonzero(distance < 0)
  a, b, c, normal = (v[:, front] for v in (a, b, c, normal))
  edges = (_cross(b, c), _cross(c, a), _cross(a, b))
  rectangles = Rectangles(*(v[front] for v in rectangles))
  index, cell = _fill(grid, rectangles, edges)
  x, y = grid.rays(cell)
  slope = x * normal[0][index] + y * normal[1][index] - normal[2][index]
  ahead = np.flatnonzero(slope < 0)  # not seen edge-on
  index = front[index[ahead]]
  return kept[index], cell[ahead], distance[index] / slope[ahead]


def _fill(
  grid: Grid,
  rectangles: Rectangles,
  edges: tuple[Float32[np.ndarray, "3 F"], ...],
) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
  """Returns faces and the cells within, row by row of their rectangles.

  A ray r passes the triangle abc where r.(a x b), r.(b x c) and r.(c x a) are
  all <= 0. On a row each of the three bounds x by one number, and two triangles
  compute their common edge alike: no ray slips between them.
  """
  face, row = _expand(rectangles.top, rectangles.height)
  y = grid.ray_y(row)
  low = np.full(len(face), -np.inf, np.float32)
  high = np.full(len(face), np.inf, np.float32)
  for edge in edges:
    slope = edge[0][face] + np.float32(0)  # never -0
    with np.errstate(divide="ignore", invalid="ignore"):
      bound = (edge[2][face] - y * edge[1][face]) / slope
    # A NaN, of a row along an edge, bounds nothing.
    low = np.fmax(low, np.where(slope < 0, bound, -np.inf))
    high = np.fmin(high, np.where(slope < 0, np.inf, bound))
  left, width = rectangles.left[face], rectangles.width[face]
  first = np.clip(np.ceil(grid.column(low)), left, left + width)
  end = np.clip(np.floor(grid.column(high)) + 1, first, left + width)
  first = first.astype(np.int64)
  inner, column = _expand(first, end.astype(np.int64) - first)
  return face[inner], row[inner] * grid.width + column


def _expand(
  start: Int[np.ndarray, " N"], count: Int[np.ndarray, " N"]
) -> tuple[Int64[np.ndarray, " M"], Int64[np.ndarray, " M"]]:
  """Returns index i and number of every start[i] + 0 ... count[i] - 1."""
  index = np.repeat(np.arange(len(count)), count)
  offset = start - (np.cumsum(count) - count)
  return index, np.arange(len(index)) + offset[index]


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
