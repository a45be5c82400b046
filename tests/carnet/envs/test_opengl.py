"""Where OpenGL is absent, and what is left on the terminal where it is not."""

import os
import subprocess
import sys

import pytest

MAKE = """
import sys
from carnet import envs, errors
try:
  size = {"height": 24, "width": 24}
  env = envs.make("aloha/transfer_cube", renderer=sys.argv[1], **size)
  print(env.reset(0).observation["images/top"].any())
except errors.UserError as error:
  print("UserError:", error)
"""
# As on a machine that has no libEGL at all.
WITHOUT_LIBRARY = """
import ctypes, ctypes.util
load, find = ctypes.CDLL, ctypes.util.find_library
class Without(load):
  def __init__(self, name, *rest, **options):
    if "EGL" in str(name): raise OSError(f"{name}: cannot open shared object")
    super().__init__(name, *rest, **options)
ctypes.CDLL, ctypes.cdll = Without, ctypes.LibraryLoader(Without)
ctypes.util.find_library = lambda name: None if "EGL" in name else find(name)
"""


def run(program: str, renderer: str, **variables: str):
  """Runs `program` headless, with the variables set or, if "", unset."""
  dropped = ("DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM")
  environment = {k: v for k, v in os.environ.items() if k not in dropped}
  return subprocess.run(
    [sys.executable, "-c", program, renderer],
    env=environment | variables,
    capture_output=True,
    text=True,
    timeout=100,
  )


@pytest.mark.parametrize(
  ("prelude", "variables"),
  [
    ("", {"MUJOCO_GL": "glfw"}),  # a window system without a display
    ("", {"MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "osmesa"}),
    ("", {"MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": "99"}),
    (WITHOUT_LIBRARY, {}),
  ],
)
def test_no_opengl_is_one_line_with_both_ways_out(prelude, variables):
  result = run(prelude + MAKE, "gl", **variables)
  assert result.returncode == 0, result.stderr
  lines = result.stdout.strip().splitlines()
  assert len(lines) == 1
  assert lines[0].startswith("UserError: renderer=gl")
  for remedy in ("libegl1 libgl1-mesa-dri", "libosmesa6", "renderer=raycast"):
    assert remedy in lines[0]
  result = run(prelude + MAKE, "raycast", **variables)
  assert (result.stdout, result.stderr) == ("True\n", "")


def test_headless_opengl_needs_no_variable_and_ends_silently():
  result = run(MAKE, "gl")
  assert (result.stdout, result.stderr) == ("True\n", "")
  assert result.returncode == 0
