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
from jaxtyping import Float32, Int32, Int64

_NEAR = 1e-3  # metres; no surface comes closer to a camera


class Rectangles(NamedTuple):
  """Cells of a grid, one rectangle a face."""

  top: Int32[np.ndarray, " F"]
  left: Int32[np.ndarray, " F"]
  height: Int32[np.ndarray, " F"]
  width: Int32[np.ndarray, " F"]

  def pairs(
    self, chosen: Int64[np.ndarray, " F2"], stride: int
  ) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " K"]]:
    """Returns, for each cell of the chosen, its index in them and the cell."""
    top, left, height, width = (a[chosen] for a in self)
    area = height * width
    pair = np.repeat(np.arange(len(area)), area)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(area) - area, area)
    down, across = np.divmod(place, width[pair])
    return pair, (top[pair] + down) * stride + left[pair] + across


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
  """Returns face, cell and depth (metres) of all meetings.

  A ray r passes the triangle abc where r.(a x b), r.(b x c) and r.(c x a) have
  one sign. Two triangles compute their common edge alike, so that no ray slips
  between them. Meshes are closed: only the sides facing the camera count.
  """
  kept, rectangles = grid.spanning(points, faces)
  a, b, c = points[:, faces[:, kept]].swapaxes(0, 1)
  edges = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)])  # [3, 3, F2]
  volume = (a * edges[0]).sum(0)
  front = np.flatnonzero(volume < 0)
  pair, cell = rectangles.pairs(front, grid.width)
  x, y = grid.rays(cell)
  edges = edges[:, :, front]
  u, v, w = (x * e[0][pair] + y * e[1][pair] - e[2][pair] for e in edges)
  hit = np.flatnonzero(np.maximum(np.maximum(u, v), w) <= 0)
  kept, pair, x, y = kept[front], pair[hit], x[hit], y[hit]
  # From differences, as the sum of the edges' products rounds to 0.3 mm.
  a = a[:, front]
  normal = _cross(b[:, front] - a, c[:, front] - a)
  slope = x * normal[0][pair] + y * normal[1][pair] - normal[2][pair]
  distance = (a * normal).sum(0)[pair]
  ahead = np.flatnonzero(slope < 0)  # not seen edge-on
  return (
    kept[pair[ahead]],
    cell[hit[ahead]],
    distance[ahead] / slope[ahead],
  )


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
