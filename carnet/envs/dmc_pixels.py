"""dm_control's own renderer, kept to one thread and freed before the exit.

Its EGL contexts belong to the thread that used them last; environments of many
threads send their requests to the one that draws, as those of `opengl` do.
"""

import atexit
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from carnet import errors
from carnet.envs import opengl

_NO_SHADOWS = {"shadow": False, "reflection": False}


def in_drawing_thread(function: Callable[[], Any]) -> Any:
  """Returns what `function` returns in the thread that draws."""
  if threading.current_thread() in opengl._THREADS:  # a finalizer may run there
    return function()
  return opengl._in_drawing_thread(function)


class View:
  """Pictures of one dm_control physics; the context is made by the first."""

  def __init__(self, physics: Any, shadows: bool, largest: int) -> None:
    self._physics = physics
    self._release: Callable[[], Any] | None = None
    model = physics.model
    self._cameras = {str(i): i for i in range(model.ncam)}
    named = ((model.id2name(i, "camera"), i) for i in range(model.ncam))
    self._cameras |= {name: i for name, i in named if name}
    self._flags = None if shadows else _NO_SHADOWS
    visual = model.vis  # read when the context is made
    visual.global_.offwidth = max(largest, visual.global_.offwidth)
    visual.global_.offheight = max(largest, visual.global_.offheight)
    if not shadows:
      visual.quality.offsamples = 0

  def draw(
    self, camera: int | str, size: int
  ) -> UInt8[np.ndarray, "size size 3"]:
    """Returns the picture; `UserError` for a wrong camera or no OpenGL."""
    number = self._cameras.get(str(camera))
    if number is None:
      raise errors.unknown("camera", str(camera), self._cameras)
    self.open()
    return in_drawing_thread(
      lambda: np.ascontiguousarray(
        self._physics.render(
          size, size, number, render_flag_overrides=self._flags
        )
      )
    )

  def close(self) -> None:
    """Frees the context; drawing again makes a new one."""
    if self._release is not None:
      self._release()
      self._release = None

  def open(self) -> None:
    """Makes the context, if there is none; `UserError` without OpenGL."""
    if self._release is not None:
      return
    physics = self._physics
    try:
      in_drawing_thread(lambda: physics.contexts)
    except Exception as error:  # every platform fails in its own type
      raise errors.UserError(
        "drawing found no OpenGL here: apt-get install libegl1 "
        "libgl1-mesa-dri (or libosmesa6, with MUJOCO_GL=osmesa); tasks without "
        "pixels need none"
      ) from error
    release = weakref.finalize(self, _free, physics)
    release.atexit = False  # too late: the context's own handler comes first
    atexit.register(release)
    self._release = release


def _free(physics: Any) -> None:
  in_drawing_thread(physics._free_rendering_contexts)
