"""What many devices saved, one restores, and the other way round.

Each machine is a process of its own with as many CPU devices as it is given.
"""

import os
import subprocess
import sys

import jax
import ml_dtypes
import numpy as np

from carnet import checkpoint as checkpoint_lib

PROGRAM = """
import sys
import jax, jax.numpy as jnp
from carnet import checkpoint

source, target, layout = sys.argv[1:]
shape = tuple(map(int, layout.split("x")))
assert jax.device_count() == shape[0] * shape[1]
auto = (jax.sharding.AxisType.Auto,) * 2
mesh = jax.make_mesh(shape, ("data", "fsdp"), axis_types=auto)
SHARDED = jax.NamedSharding(mesh, jax.P("fsdp"))
BOTH = jax.NamedSharding(mesh, jax.P("data", "fsdp"))
COPIED = jax.NamedSharding(mesh, jax.P())

def state(value):
  shape, key = (8, 16), jax.random.key(value)
  noise = jax.random.normal(key, shape) * value
  return {
    "w": jax.device_put(noise, SHARDED),
    "m": jax.device_put(noise.astype(jnp.bfloat16), BOTH),
    "b": jax.device_put(noise[0], COPIED),
    "key": jax.random.split(key, 8),
    "keys": jax.device_put(jax.random.split(key, 8), SHARDED),
    "step": value,
  }

with checkpoint.Checkpoint(target, verbose=False) as saved:
  fresh = state(7 if source == "none" else 0)
  shardings = jax.tree.map(lambda x: getattr(x, "sharding", None), fresh)
  agent = saved.register("agent", fresh)
  if source != "none":
    report = saved.load(source)
    assert report.counts() == {"restored": 6}
    loaded = jax.tree.map(lambda x: getattr(x, "sharding", None), agent.value)
    assert loaded == shardings
  saved.save(1)
"""


def _run(place, source, layout):
  """Restores `source` on so many devices and saves it again; or begins."""
  target = place / f"{source.name if source else 'new'}-{layout}"
  devices = 1 if layout == "1x1" else 8
  flags = f"--xla_force_host_platform_device_count={devices}"
  arguments = [str(source or "none"), str(target), layout]
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM, *arguments],
    env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return target


def _contents(path):
  """Returns each leaf with its digest, whatever it was sharded over."""
  return checkpoint_lib.read_manifest(path).leaves


def test_each_machine_restores_what_the_one_before_it_saved(tmp_path):
  """8 -> 1 -> 8 devices, 4x2 -> 2x4, and sharded -> one copy a device."""
  saved = [_run(tmp_path, None, "1x8")]
  for layout in ("1x1", "4x2", "2x4", "8x1"):
    saved.append(_run(tmp_path, saved[-1], layout))
    assert _contents(saved[-1]) == _contents(saved[0]), layout
  assert jax.device_count() == 1
  for path in saved:
    _check_without_structure(path)


def _check_without_structure(path):
  stored = checkpoint_lib.read(path)["agent"]
  key = jax.random.key(7)
  noise = np.asarray(jax.random.normal(key, (8, 16)) * 7)
  keys = jax.random.key_data(jax.random.split(key, 8))
  expected = {
    "w": noise,
    "m": noise.astype(ml_dtypes.bfloat16),
    "b": noise[0],
    "key": keys,
    "keys": keys,
    "step": 7,
  }
  assert stored.keys() == expected.keys()
  for name in ("key", "keys"):
    stored[name] = jax.random.key_data(stored[name])
  for name, value in expected.items():
    np.testing.assert_array_equal(stored[name], value, strict=name != "step")
