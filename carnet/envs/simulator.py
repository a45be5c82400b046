"""Imports MuJoCo so that a machine without OpenGL can still use it.

`import mujoco` loads the OpenGL platform that MUJOCO_GL names: unset, the
windowed one, which cannot draw without a display; and where a named library is
absent, the import itself fails although physics needs none of it.
"""

import importlib
import logging
import os
import sys
import threading
from types import ModuleType

from carnet import errors

_LOCK = threading.Lock()


def load() -> ModuleType:
  """Returns `mujoco`; `UserError` where it is not installed."""
  with _LOCK:
    if "mujoco" in sys.modules:
      return sys.modules["mujoco"]
    headless = sys.platform == "linux" and not os.environ.get("DISPLAY")
    if headless and not os.environ.get("MUJOCO_GL"):
      os.environ["MUJOCO_GL"] = "egl"
    # PyOpenGL tells of every optional part it lacks, on each start.
    logging.getLogger("OpenGL").setLevel(logging.WARNING)
    try:
      return importlib.import_module("mujoco")
    except ModuleNotFoundError as error:
      if error.name != "mujoco":
        raise
      raise errors.UserError(
        "MuJoCo is not installed: pip install 'carnet[aloha]'"
      ) from error
    except (ImportError, AttributeError, OSError):
      # PyOpenGL's ways to say that libEGL or libOSMesa is absent.
      os.environ["MUJOCO_GL"] = "disable"
      return importlib.import_module("mujoco")
