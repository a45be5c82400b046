"""Training that stops and resumes is training that never stopped."""

import functools
import os
import pathlib
import signal
import subprocess
import sys

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from carnet import checkpoint as checkpoint_lib
from carnet import trees
from carnet.checkpoint import signals

OPTIMIZER = optax.chain(
  optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)
)


@struct.dataclass
class TrainState:
  step: jax.Array
  params: dict
  optimizer: optax.OptState


def _init_state():
  params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2, jnp.float32)}
  return TrainState(jnp.int32(0), params, OPTIMIZER.init(params))


@functools.partial(jax.jit, donate_argnums=0)
def _train_step(state, x):
  key = jax.random.fold_in(jax.random.key(0), state.step)
  noise = jax.random.normal(key, (2,))

  def loss(params):
    y = jnp.full(3, jnp.sin(x.astype(jnp.float32))) @ params["w"]
    return jnp.sum((y + params["b"] - noise) ** 2)

  grads = jax.grad(loss)(state.params)
  updates, optimizer = OPTIMIZER.update(grads, state.optimizer, state.params)
  params = optax.apply_updates(state.params, updates)
  return TrainState(state.step + 1, params, optimizer)


def _train(directory, total_steps, interrupt_at=None):
  data = iter(grain.MapDataset.range(5).shuffle(0).repeat().to_iter_dataset())
  with (
    checkpoint_lib.Checkpoint(directory, verbose=False) as checkpoint,
    signals.graceful() as stop,
  ):
    agent = checkpoint.register("agent", _init_state())
    checkpoint.register("data", data)
    start = checkpoint.load_or_save()
    for step in range(start, total_steps):
      agent.value = _train_step(agent.value, jnp.int32(next(data)))
      if step + 1 == interrupt_at:
        os.kill(os.getpid(), signal.SIGTERM)
      if stop or step + 1 == total_steps:
        checkpoint.save(step + 1)
        break
  return start, agent.value


def test_four_steps_are_two_and_a_resume_and_two(tmp_path):
  _, straight = _train(tmp_path / "straight", 4)
  assert _train(tmp_path / "halves", 2)[0] == 0
  start, resumed = _train(tmp_path / "halves", 4)
  assert start == 2
  expected = trees.flatten(straight)
  for path, leaf in trees.flatten(resumed).items():
    assert leaf.dtype == expected[path].dtype, path
    assert np.asarray(leaf).tobytes() == np.asarray(expected[path]).tobytes()
  digests = [
    checkpoint_lib.read_manifest(tmp_path / name).tree_sha256
    for name in ("straight", "halves")
  ]
  assert digests[0] == digests[1]


def test_a_signal_saves_and_the_rest_is_the_same(tmp_path):
  _, straight = _train(tmp_path / "straight", 4)
  _train(tmp_path / "signalled", 4, interrupt_at=3)
  assert checkpoint_lib.Checkpoint(tmp_path / "signalled").latest() == 3
  start, resumed = _train(tmp_path / "signalled", 4)
  assert start == 3
  np.testing.assert_array_equal(resumed.params["w"], straight.params["w"])


def test_a_finished_run_resumes_to_nothing(tmp_path):
  _train(tmp_path, 2)
  assert _train(tmp_path, 2)[0] == 2
  assert checkpoint_lib.Checkpoint(tmp_path).steps() == [0, 2]


MESHES = """
import pathlib, sys
import jax, numpy as np
from carnet import checkpoint

root = pathlib.Path(sys.argv[1])
auto = (jax.sharding.AxisType.Auto,) * 2
def mesh(*shape):
  devices = jax.devices()[: shape[0] * shape[1]]
  return jax.make_mesh(shape, ("x", "y"), axis_types=auto, devices=devices)
LAYOUTS = {
  "4x2": jax.NamedSharding(mesh(4, 2), jax.P("x", "y")),
  "2x4": jax.NamedSharding(mesh(2, 4), jax.P("x", "y")),
  "copied": jax.NamedSharding(mesh(8, 1), jax.P()),
  "half": jax.NamedSharding(mesh(4, 2), jax.P(None, "y")),
  "one": jax.sharding.SingleDeviceSharding(jax.devices()[3]),
}
w = np.arange(64, dtype=np.float32).reshape(8, 8)
key = jax.random.key(5)
digests = set()
for name, layout in LAYOUTS.items():
  with checkpoint.Checkpoint(root / name, verbose=False) as saved:
    saved.register("agent", {"w": jax.device_put(w, layout), "key": key})
    saved.save(1)
  digests.add(checkpoint.read_manifest(root / name).tree_sha256)
  for other, wanted in LAYOUTS.items():
    struct = jax.ShapeDtypeStruct(w.shape, w.dtype, sharding=wanted)
    zeros = jax.device_put(np.zeros_like(w), wanted)
    for target in (struct, zeros):
      loaded = checkpoint.Checkpoint(root / name, verbose=False)
      agent = loaded.register("agent", {"w": target, "key": jax.random.key(0)})
      loaded.load()
      assert agent.value["w"].sharding == wanted, (name, other)
      assert agent.value["w"].committed
      np.testing.assert_array_equal(agent.value["w"], w)
  free = checkpoint.Checkpoint(root / name, verbose=False)
  agent = free.register("agent", {"w": jax.numpy.zeros((8, 8)), "key": key})
  free.load()
  assert not agent.value["w"].committed
assert len(digests) == 1, digests
"""


def test_any_mesh_restores_to_any_other_and_content_keeps_its_digest(tmp_path):
  flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
  done = subprocess.run(
    [sys.executable, "-W", "error::UserWarning", "-c", MESHES, str(tmp_path)],
    env=os.environ | flags,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert jax.device_count() == 1  # fewer devices than it was saved on
  for path in pathlib.Path(tmp_path).iterdir():
    stored = checkpoint_lib.read(path)["agent"]
    np.testing.assert_array_equal(stored["w"], np.arange(64.0).reshape(8, 8))
