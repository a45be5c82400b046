"""The two ways to draw a MuJoCo scene, behind one call."""

import dataclasses
import functools
import threading
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from carnet import errors

if TYPE_CHECKING:
  import mujoco


@dataclasses.dataclass(frozen=True)
class Settings:
  """Everything that changes a pixel; stored with the data it made."""

  renderer: str
  height: int
  width: int
  shadows: bool
  msaa_samples: int  # 0 is no multisampling


@runtime_checkable
class Renderer(Protocol):
  """Draws any state of one model."""

  def render(
    self, data: "mujoco.MjData", camera: str
  ) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the picture from the camera; callable from any thread."""


def make(model: "mujoco.MjModel", settings: Settings) -> Renderer:
  """Returns the renderer of these settings, one for all who ask."""
  if settings.renderer not in ("gl", "raycast"):
    raise errors.unknown("renderer", settings.renderer, ("gl", "raycast"))
  if settings.height < 1 or settings.width < 1:
    raise errors.UserError(
      f"height={settings.height}, width={settings.width}: an image needs at "
      "least one pixel each way"
    )
  with _LOCK:
    return _make(model, settings)


_LOCK = threading.Lock()


@functools.cache
def _make(model: "mujoco.MjModel", settings: Settings) -> Renderer:
  if settings.renderer == "gl":
    from carnet.envs import opengl

    return opengl.Renderer(model, settings)
  from carnet.envs import raycast

  return raycast.Renderer(model, settings)
