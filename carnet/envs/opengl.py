"""MuJoCo's OpenGL renderer, owned by one thread, closed before the exit.

An OpenGL context belongs to the thread that made it current; environments in
many threads therefore send their pictures' requests to the one that draws.
"""

import atexit
import concurrent.futures
import copy
import queue
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from carnet import errors
from carnet.envs import renderers, simulator

if TYPE_CHECKING:
  import mujoco


class Renderer:
  """Draws with EGL, OSMesa or a window system, whichever MUJOCO_GL names.

  Shadows and multisampling are what cost: with both off a frame takes a sixth
  of the scene's own settings.
  """

  def __init__(
    self, model: "mujoco.MjModel", settings: renderers.Settings
  ) -> None:
    mujoco = simulator.load()
    model = copy.copy(model)  # the settings below stay out of the physics
    visual = model.vis
    visual.quality.offsamples = settings.msaa_samples
    visual.global_.offheight = max(settings.height, visual.global_.offheight)
    visual.global_.offwidth = max(settings.width, visual.global_.offwidth)

    def create() -> Any:
      with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glfw warns where it then fails
        renderer = mujoco.Renderer(model, settings.height, settings.width)
      if not _OPEN:  # after the platform's own handler, so called before it
        atexit.register(_close)
      _OPEN.append(renderer)
      flag = mujoco.mjtRndFlag.mjRND_SHADOW
      renderer.scene.flags[flag] = settings.shadows
      return renderer

    try:
      self._renderer = _in_drawing_thread(create)
    except Exception as error:  # every platform fails in its own type
      raise errors.UserError(
        "renderer=gl found no OpenGL here: apt-get install libegl1 "
        "libgl1-mesa-dri (or libosmesa6, with MUJOCO_GL=osmesa), or choose "
        "renderer=raycast, which needs none"
      ) from error

  def render(
    self, data: "mujoco.MjData", camera: str
  ) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the picture from the camera."""

    def draw() -> np.ndarray:
      self._renderer.update_scene(data, camera)
      return self._renderer.render()

    return _in_drawing_thread(draw)


_OPEN: list[Any] = []  # touched by the drawing thread alone
_REQUESTS: queue.SimpleQueue = queue.SimpleQueue()
_START = threading.Lock()
_THREADS: list[threading.Thread] = []


def _in_drawing_thread(function: Callable[[], Any]) -> Any:
  with _START:
    if not _THREADS:
      # A daemon is still alive when exit handlers run, unlike a pool's worker.
      thread = threading.Thread(target=_serve, name="opengl", daemon=True)
      thread.start()
      _THREADS.append(thread)
  answer: concurrent.futures.Future = concurrent.futures.Future()
  _REQUESTS.put((function, answer))
  return answer.result()


def _serve() -> None:
  while True:
    function, answer = _REQUESTS.get()
    try:
      answer.set_result(function())
    except Exception as error:
      answer.set_exception(error)


def _close() -> None:
  """Frees every context; EGL would print from its destructors otherwise."""

  def close() -> None:
    while _OPEN:
      _OPEN.pop().close()

  _in_drawing_thread(close)
