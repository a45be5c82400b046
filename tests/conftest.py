"""Strictness for every test: promotion, warnings, cached compilation."""

import importlib.util
import os
import pathlib
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MUJOCO_GL", "egl")

import jax
import pytest
from absl import flags

# one a worker of xdist: entries are not written in one go, and a half-written
# one is a warning to who reads it
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
CACHE = pathlib.Path(__file__).parent.parent / ".jax_cache" / WORKER
# for the programs that tests start
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)

SCRIPTS = pathlib.Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def load_script():
  """Returns a function: a script's name -> its module, run in this process.

  The flags that the script defines leave with the tests of the file: those of
  two scripts have equal names, and a required one would be asked of all.
  """
  names = []

  def load(name):
    path = SCRIPTS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_script", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # its flags are filed under it
    names.append(module.__name__)
    spec.loader.exec_module(module)
    return module

  yield load
  for name in names:
    del sys.modules[name]
    for flag in list(flags.FLAGS.flags_by_module_dict()[name]):
      delattr(flags.FLAGS, flag.name)
