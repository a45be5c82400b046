"""The ray caster against MuJoCo's own, against OpenGL, and against itself."""

import concurrent.futures

import mujoco
import numpy as np
import pytest

from carnet import envs, errors
from carnet.envs import aloha, aloha_scene, raycast, renderers, triangles

TASKS = aloha_scene.TASKS
REST = np.array([0, -0.96, 1.16, 0, -0.3, 0, 0.1] * 2)
SIZE = {"height": 48, "width": 64}


def states(task: str, count: int):
  """Yields states in which the arms reach over the table."""
  scene = aloha_scene.load(task)
  data = mujoco.MjData(scene.model)
  random = np.random.default_rng(0)
  for seed in range(count):
    aloha.place(scene, data, aloha_scene.sample_objects(task, seed))
    for _ in range(5):
      data.qpos[:16] += random.normal(0, 0.05, 16)
    data.qpos[16:19] += random.normal(0, 0.1, 3)
    mujoco.mj_forward(scene.model, data)
    yield scene.model, data


def settings(**changes) -> renderers.Settings:
  values = {"renderer": "raycast", "shadows": False, "msaa_samples": 0}
  return renderers.Settings(**(values | SIZE | changes))


def mujoco_cast(model, data, camera):
  """Returns distance along the axis and geom of every pixel's ray."""
  height, width = SIZE["height"], SIZE["width"]
  focal = height / 2 / np.tan(np.radians(model.camera(camera).fovy[0]) / 2)
  x = (np.arange(width) + 0.5 - width / 2) / focal
  y = (height / 2 - 0.5 - np.arange(height)) / focal
  rays = np.stack([*np.meshgrid(x, y), -np.ones((height, width))], -1)
  rays = rays.reshape(-1, 3) @ data.camera(camera).xmat.reshape(3, 3).T
  geom = np.zeros(height * width, np.int32)
  depth = np.zeros(height * width)
  mujoco.mj_multiRay(
    model,
    data,
    data.camera(camera).xpos,
    np.ascontiguousarray(rays).ravel(),
    None,
    1,
    -1,
    geom,
    depth,
    None,
    height * width,
    10.0,
  )
  return depth, geom


def nearest(model, data, camera):
  """Returns what `mujoco_cast` does, by `raycast`."""
  everything = np.arange(model.ngeom)
  surfaces = raycast.Surfaces(model, everything)
  pose = raycast.look(model, data, camera, SIZE["height"], SIZE["width"])
  keys, cells = surfaces.cast(data, pose)
  owner = triangles.gather(model, everything).owner
  found = np.full(SIZE["height"] * SIZE["width"], 2**64 - 1, np.uint64)
  np.minimum.at(found, cells, keys)
  missed = found == 2**64 - 1
  face = np.where(missed, 0, found & np.uint64(2**32 - 1)).astype(np.int64)
  depth = (found >> np.uint64(32)).astype(np.uint32).view(np.float32)
  return depth, np.where(missed, -1, owner[face])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("camera", ["top", "angle", "front_close"])
def test_finds_the_surfaces_that_mujoco_finds(task, camera):
  for model, data in states(task, 6):
    depth, geom = nearest(model, data, camera)
    expected_depth, expected_geom = mujoco_cast(model, data, camera)
    same = geom == expected_geom
    # A ray along a silhouette may round to either side of it.
    assert np.sum(~same) <= 1
    hit = same & (geom >= 0)
    assert hit.sum() > 300
    np.testing.assert_allclose(depth[hit], expected_depth[hit], atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("camera", ["top", "left_wrist"])
def test_remembering_the_background_changes_no_pixel(task, camera):
  remembering = None
  for model, data in states(task, 6):
    remembering = remembering or raycast.Renderer(model, settings())
    image = remembering.render(data, camera)
    pose = raycast.look(model, data, camera, SIZE["height"], SIZE["width"])
    keys = np.full(SIZE["height"] * SIZE["width"], 2**64 - 1, np.uint64)
    everything = np.zeros((*keys.shape, 3), np.uint8)
    surfaces = raycast.Surfaces(model, np.arange(model.ngeom))
    raycast.draw(surfaces, data, pose, keys, everything)
    np.testing.assert_array_equal(image.reshape(-1, 3), everything)


def test_lambert_shading_of_the_cube_by_hand():
  # Seen from straight above, a level face has n.l = 1 for the headlight, and
  # 1 / sqrt 3, 1 / sqrt 3, 1 / sqrt 2 for the lamps, each of 0.3; the ambient
  # light is 0.4: 0.4 + 0.4 + 0.3 (2 / sqrt 3 + 1 / sqrt 2) = 1.3585.
  env = envs.make("aloha/insertion", renderer="raycast", **SIZE)
  env.reset(0, observe=False)
  image = env.render("top")
  light = 0.8 + 0.3 * (2 / np.sqrt(3) + 1 / np.sqrt(2))
  table = round(255 * 0.2 * light)
  assert [table] * 3 in image.reshape(-1, 3).tolist()
  assert [255, 0, 0] in image.reshape(-1, 3).tolist()  # the peg
  assert [0, 0, 255] in image.reshape(-1, 3).tolist()  # the socket
  assert [0, 0, 0] in image.reshape(-1, 3).tolist()  # nothing


def test_samples_average_a_finer_picture():
  env = envs.make("aloha/transfer_cube", renderer="raycast", **SIZE)
  fine = envs.make(
    "aloha/transfer_cube", renderer="raycast", height=96, width=128
  )
  smooth = envs.make(
    "aloha/transfer_cube", renderer="raycast", msaa_samples=4, **SIZE
  )
  images = []
  for one in (env, fine, smooth):
    one.reset(0, observe=False)
    images.append(one.render("angle").astype(np.float64))
  mean = images[1].reshape(48, 2, 64, 2, 3).mean((1, 3))
  np.testing.assert_array_equal(images[2], np.floor(mean + 0.5))
  assert np.any(images[0] != images[2])


def test_shows_what_opengl_shows():
  errors_by_camera = {}
  for camera in ("top", "angle", "left_wrist"):
    pictures = []
    for renderer in ("raycast", "gl"):
      env = envs.make("aloha/insertion", renderer=renderer, **SIZE)
      env.reset(3, observe=False)
      pictures.append(env.render(camera).astype(np.float64))
    errors_by_camera[camera] = np.abs(pictures[0] - pictures[1]).mean()
  # Highlights and rounding at edges differ; a wrong pose would cost 20.
  assert max(errors_by_camera.values()) < 8, errors_by_camera


def test_threads_draw_what_one_thread_draws():
  env = envs.make("aloha/transfer_cube", renderer="raycast", **SIZE)
  expected = [env.reset(seed).observation for seed in range(8)]

  def draw(seed: int):
    return envs.make("aloha/transfer_cube", renderer="raycast", **SIZE).reset(
      seed
    )

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    steps = list(pool.map(draw, range(8)))
  for step, one in zip(steps, expected, strict=True):
    np.testing.assert_array_equal(
      step.observation["images/top"], one["images/top"]
    )


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"shadows": True}, "shadows=True needs renderer=gl"),
    ({"msaa_samples": 3}, "unknown msaa_samples '3'"),
    ({"height": 0}, "at least one pixel"),
  ],
)
def test_what_it_cannot_draw_is_an_error(options, message):
  with pytest.raises(errors.UserError, match=message):
    envs.make("aloha/insertion", renderer="raycast", **options)
