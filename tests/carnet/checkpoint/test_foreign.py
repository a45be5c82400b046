"""Checkpoints that plain Orbax and safetensors wrote, sound and hostile."""

import collections
import os
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
from flax import nnx
from orbax.checkpoint import v1

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import foreign, leaves

Pair = collections.namedtuple("Pair", ["mean", "scale"])
LAYOUTS = [
  {"use_ocdbt": ocdbt, "use_zarr3": zarr3}
  for ocdbt in (True, False)
  for zarr3 in (True, False)
]


def _tree():
  return {
    "params": {
      "encoder": {"kernel": jnp.arange(6.0).reshape(2, 3)},
      "a.b": jnp.full(2, 3.0, jnp.bfloat16),
    },
    "small": jnp.array([1.5, -2.0], jnp.float8_e4m3fn),
    "tuple": (jnp.ones(1), {"z": jnp.zeros(2, jnp.int32)}),
    "list": [np.arange(3), np.array(True)],
    "pair": Pair(jnp.ones(2), np.array(2.5)),
    "key": jax.random.key(7),
    "keys": jax.random.split(jax.random.key(8, impl="rbg"), 3),
    "step": 3,
    "rate": 0.5,
    "none": None,
    "empty": {},
  }


SPECS = {
  "params/encoder/kernel": leaves.Spec((2, 3), "float32"),
  "params/a.b": leaves.Spec((2,), "bfloat16"),
  "small": leaves.Spec((2,), "float8_e4m3fn"),
  "tuple/0": leaves.Spec((1,), "float32"),
  "tuple/1/z": leaves.Spec((2,), "int32"),
  "list/0": leaves.Spec((3,), "int64"),
  "list/1": leaves.Spec((), "bool"),
  "pair/mean": leaves.Spec((2,), "float32"),
  "pair/scale": leaves.Spec((), "float64"),
  "key": leaves.Spec((), "key:threefry2x32"),
  "keys": leaves.Spec((3,), "key:rbg"),
  "step": leaves.Spec((), "python:int"),
  "rate": leaves.Spec((), "python:float"),
}


def _expected():
  tree = _tree()
  return {
    "params/encoder/kernel": tree["params"]["encoder"]["kernel"],
    "params/a.b": tree["params"]["a.b"],
    "small": tree["small"],
    "tuple/0": tree["tuple"][0],
    "tuple/1/z": tree["tuple"][1]["z"],
    "list/0": tree["list"][0],
    "list/1": tree["list"][1],
    "pair/mean": tree["pair"].mean,
    "pair/scale": tree["pair"].scale,
    "key": jax.random.key_data(tree["key"]),
    "keys": jax.random.key_data(tree["keys"]),
    "step": np.int64(3),
    "rate": np.float64(0.5),
  }


def _save(path, tree, **options):
  handler = ocp.PyTreeCheckpointHandler(**options)
  with ocp.Checkpointer(handler) as checkpointer:
    checkpointer.save(path, args=ocp.args.PyTreeSave(tree))


def _steps(root, steps, tree=None, items=None, metrics=None, **options):
  tree = {"w": jnp.ones(2)} if tree is None else tree
  options = ocp.CheckpointManagerOptions(**options)
  with ocp.CheckpointManager(root, options=options) as manager:
    for step in steps:
      scaled = jax.tree.map(lambda x, step=step: x * step, tree)
      args = ocp.args.StandardSave(scaled)
      if items:
        args = ocp.args.Composite(**items(scaled))
      manager.save(step, args=args, metrics=metrics)


def _check(found, prefix=""):
  assert found.specs() == {prefix + path: SPECS[path] for path in SPECS}
  values = found.contents(found.specs())
  for path, expected in _expected().items():
    value = values[prefix + path]
    assert type(value) is np.ndarray
    assert value.dtype == expected.dtype, path
    np.testing.assert_array_equal(value, np.asarray(expected), path)
    assert found.sizes()[prefix + path] == value.nbytes


@pytest.mark.parametrize("options", LAYOUTS, ids=str)
def test_a_plain_pytree(tmp_path, options):
  _save(tmp_path / "plain", _tree() | {"name": "text"}, **options)
  found = foreign.find(tmp_path / "plain")
  assert (found.kind, found.step) == ("orbax", None)
  assert found.skipped == ("name",)
  _check(found)


def test_typed_keys_come_back_as_keys(tmp_path):
  _save(tmp_path / "plain", _tree())
  found = foreign.find(tmp_path / "plain")
  key = leaves.plain(found.contents(["keys"])["keys"], SPECS["keys"])
  assert (jax.random.bits(key[1]) == jax.random.bits(_tree()["keys"][1])).all()


def test_names_with_slashes_are_paths(tmp_path):
  _save(tmp_path / "haiku", {"mlp/~/linear": {"w": jnp.ones(2)}})
  assert set(foreign.find(tmp_path / "haiku").specs()) == {"mlp/~/linear/w"}


def test_the_last_part_of_nnx_stays(tmp_path):
  state = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Param)
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(tmp_path / "nnx", state)
  specs = foreign.find(tmp_path / "nnx").specs()
  assert set(specs) == {"kernel/value", "bias/value"}


def test_items_of_a_step_come_first_in_the_path(tmp_path):
  items = ocp.args.Composite(
    agent=ocp.args.StandardSave(_tree()),
    other=ocp.args.PyTreeSave({"w": jnp.ones(2)}),
    config=ocp.args.JsonSave({"seed": 1}),
  )
  with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
    checkpointer.save(tmp_path / "step", args=items)
  found = foreign.find(tmp_path / "step")
  assert found.skipped == ("config",)
  assert found.specs()["other/w"] == leaves.Spec((2,), "float32")
  assert found.contents(["other/w"])["other/w"].tolist() == [1, 1]
  shutil.rmtree(tmp_path / "step/other")
  _check(foreign.find(tmp_path / "step"), "agent/")  # the user named it


@pytest.mark.parametrize(
  "options",
  [
    {},
    {"step_prefix": "ckpt"},
    {"step_prefix": "my_run", "step_format_fixed_length": 8},
  ],
  ids=str,
)
def test_a_manager_gives_its_newest_step(tmp_path, options):
  _steps(tmp_path / "run", (2, 10), metrics={"loss": 1.0}, **options)
  found = foreign.find(tmp_path / "run")
  assert found.step == 10
  assert found.path.parent == tmp_path / "run"
  assert found.contents(["w"])["w"].tolist() == [10, 10]
  assert foreign.find(found.path).step is None
  assert set(foreign.find(found.path).specs()) == {"w"}


def test_items_of_a_manager(tmp_path):
  def items(tree):
    return {
      "state": ocp.args.StandardSave(tree),
      "data": ocp.args.JsonSave({"next": 5}),
    }

  _steps(tmp_path, (1, 2), items=items)
  found = foreign.find(tmp_path)
  assert (found.step, found.skipped) == (2, ("data",))
  assert found.contents(["state/w"])["state/w"].tolist() == [2, 2]


def test_only_finished_steps_count(tmp_path, caplog):
  _steps(tmp_path, (3, 5, 7))
  (tmp_path / "7").rename(tmp_path / "7.orbax-checkpoint-tmp-123")
  (tmp_path / "5/default").rename(
    tmp_path / "5/default.orbax-checkpoint-tmp-456"
  )
  (tmp_path / "9").mkdir()
  assert foreign.find(tmp_path).step == 3
  assert "9 is no finished step: not used" in caplog.text
  shutil.rmtree(tmp_path / "3")
  assert foreign.find(tmp_path) is None


def test_steps_of_two_prefixes_are_ambiguous(tmp_path):
  for prefix in ("best", "last"):
    _steps(tmp_path / "run", (1,), step_prefix=prefix)
  with pytest.raises(errors.UserError, match=r"named best_\*, last_\*"):
    foreign.find(tmp_path / "run")
  assert set(foreign.find(tmp_path / "run/best_1").specs()) == {"w"}


def test_orbax_v1(tmp_path):
  v1.save(tmp_path / "one", _tree() | {"name": "text"})
  found = foreign.find(tmp_path / "one")
  assert found.skipped == ("name",)
  _check(found)
  # what earlier releases called it
  (tmp_path / "one/state").rename(tmp_path / "one/pytree")
  _check(foreign.find(tmp_path / "one"))

  v1.save_checkpointables(
    tmp_path / "several", {"agent": _tree(), "ema": {"w": jnp.ones(2)}}
  )
  found = foreign.find(tmp_path / "several")
  assert set(found.specs()) == {"ema/w"} | {f"agent/{path}" for path in SPECS}

  with v1.training.Checkpointer(tmp_path / "run") as checkpointer:
    for step in (4, 6):
      checkpointer.save(step, {"w": jnp.full(2, float(step))})
  found = foreign.find(tmp_path / "run")
  assert found.step == 6
  assert found.contents(["w"])["w"].tolist() == [6, 6]


def test_other_numbers_of_devices(tmp_path):
  program = f"""
import jax, orbax.checkpoint as ocp
devices = jax.make_mesh((8,), ("x",))
spec = jax.sharding.PartitionSpec("x")
x = jax.device_put(
  jax.numpy.arange(16.0), jax.sharding.NamedSharding(devices, spec)
)
assert len(x.sharding.device_set) == 8
with ocp.StandardCheckpointer() as checkpointer:
  checkpointer.save({str(tmp_path / "eight")!r}, {{"x": x}})
"""
  flags = "--xla_force_host_platform_device_count=8"
  subprocess.run(
    [sys.executable, "-c", program],
    env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    check=True,
  )
  (tmp_path / "eight/_sharding").unlink()
  found = foreign.find(tmp_path / "eight")
  assert found.contents(["x"])["x"].tolist() == list(range(16))


def _bytes_read():
  with open("/proc/self/io") as counters:
    return int(re.search(r"rchar: (\d+)", counters.read())[1])


@pytest.mark.parametrize("kind", ["ocdbt", "plain", "safetensors"])
def test_a_part_reads_a_part(tmp_path, kind):
  generator = np.random.default_rng(0)
  arrays = {
    f"w{n}": np.frombuffer(generator.bytes(1 << 18), np.uint8)
    for n in range(64)
  }
  path = tmp_path / f"all.{kind}"
  if kind == "safetensors":
    safetensors.numpy.save_file(arrays, path)
  else:
    _save(path, arrays, use_ocdbt=kind == "ocdbt")
  before = _bytes_read()
  found = foreign.find(path)
  assert len(found.specs()) == 64
  assert _bytes_read() - before < 0.02 * (64 << 18)
  part = found.contents(["w7", "w42"])
  assert 2 << 18 < _bytes_read() - before < 0.1 * (64 << 18)
  assert set(part) == {"w7", "w42"}
  np.testing.assert_array_equal(part["w42"], arrays["w42"])


def test_ours_and_others_are_not_foreign(tmp_path):
  with checkpoint_lib.Checkpoint(tmp_path / "run/checkpoints") as checkpoint:
    checkpoint.register("agent", {"w": jnp.ones(2)})
    checkpoint.save(1)
    checkpoint.save(2)
  (tmp_path / "notes.txt").write_text("x")
  step = tmp_path / "run/checkpoints/000000002"
  for path in ("run", "run/checkpoints", step, "notes.txt", "absent"):
    assert foreign.find(tmp_path / path) is None, path
  marker = step / "_CHECKPOINT_METADATA"
  marker.write_text("{}")
  assert foreign.find(step) is foreign.find(step.parent) is None
  marker.unlink()
  (step / "manifest.json").unlink()  # then it is a damaged one of ours
  assert foreign.find(step) is foreign.find(step.parent) is None
