"""What is saved comes back exactly, whatever kind of leaf or component."""

import collections
import json

import flax.struct
import grain
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import nnx

from carnet import checkpoint as checkpoint_lib
from carnet import errors

Point = collections.namedtuple("Point", ["x", "y"])


@flax.struct.dataclass
class TrainState:
  step: jax.Array
  params: dict
  optimizer: optax.OptState
  name: str = flax.struct.field(pytree_node=False, default="act")


def _train_state(scale=1.0):
  params = {"encoder": {"kernel": jnp.full((2, 3), scale), "bias": jnp.ones(3)}}
  optimizer = optax.adam(1e-3).init(params)
  return TrainState(jnp.int32(scale), params, optimizer)


LEAVES = {
  "float32": jnp.array([[1.5, jnp.nan], [-0.0, jnp.inf]]),
  "bfloat16": jnp.arange(3, dtype=jnp.bfloat16),
  "float8": np.array([1, 2], ml_dtypes.float8_e4m3fn),
  "complex64": np.array([1 + 2j], np.complex64),
  "int64": np.array([2**62]),
  "uint8": np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
  "bool": np.array([True, False]),
  "no axes": np.array(2.5),
  "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
  "strided": np.arange(10)[::3],
  "empty": np.zeros((0, 3), np.float32),
  "empty jax": jnp.zeros((2, 0), jnp.bfloat16),
  "numpy float32": np.float32(0.1),
  "numpy bool": np.bool_(True),
  "python int": 2**62,
  "python float": 0.1,
  "python bool": False,
  "key": jax.random.key(7),
  "keys": jax.random.split(jax.random.key(7), 3),
  "no keys": jax.random.split(jax.random.key(7), 3)[:0],
  "rbg key": jax.random.key(7, impl="rbg"),
  "tuple": (jnp.zeros(1), jnp.ones(1)),
  "namedtuple": Point(jnp.zeros(2), None),
  "integer keys": {0: jnp.zeros(1), 10: jnp.ones(1)},
  "dotted": {"a.b": jnp.zeros(2), "a": {"b": jnp.ones(2)}},
  "nothing": {"none": None, "empty": {}, "state": optax.EmptyState()},
}


def _assert_same(left, right):
  left, right = (jax.tree_util.tree_leaves_with_path(t) for t in (left, right))
  assert [path for path, _ in left] == [path for path, _ in right]
  for (path, x), (_, y) in zip(left, right, strict=True):
    assert isinstance(x, jax.Array) == isinstance(y, jax.Array), path
    if isinstance(x, jax.Array):
      assert x.dtype == y.dtype, path
      if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        x, y = jax.random.key_data(x), jax.random.key_data(y)
      assert x.weak_type == y.weak_type, path
    else:
      assert type(x) is type(y), path
    x, y = np.asarray(x), np.asarray(y)
    assert (x.dtype, x.shape) == (y.dtype, y.shape), path
    assert x.tobytes() == y.tobytes(), path


def _save(directory, value, step=1):
  with checkpoint_lib.Checkpoint(directory) as checkpoint:
    checkpoint.register("agent", value)
    checkpoint.save(step)


def _load(directory, target):
  checkpoint = checkpoint_lib.Checkpoint(directory, verbose=False)
  handle = checkpoint.register("agent", target)
  checkpoint.load()
  return handle.value


def _blank(leaf):
  if isinstance(leaf, jax.Array):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      impl = jax.random.key_impl(leaf)
      return jax.random.wrap_key_data(
        jnp.zeros_like(jax.random.key_data(leaf)), impl=impl
      )
    return jnp.zeros_like(leaf)
  if isinstance(leaf, np.ndarray):
    return np.zeros_like(leaf)
  return type(leaf)()


def test_every_kind_of_leaf_comes_back_bit_by_bit(tmp_path):
  _save(tmp_path, LEAVES)
  restored = _load(tmp_path, jax.tree.map(_blank, LEAVES))
  _assert_same(restored, LEAVES)
  assert jax.tree.structure(restored) == jax.tree.structure(LEAVES)


@pytest.mark.parametrize("name", ["python int", "bfloat16", "key", "empty"])
def test_a_bare_leaf_is_a_component(tmp_path, name):
  value = {"python int": 3}.get(name, LEAVES[name])
  _save(tmp_path, value)
  _assert_same(_load(tmp_path, _blank(value)), value)


def test_a_train_state_keeps_its_class_and_static_fields(tmp_path):
  _save(tmp_path, _train_state(2.0))
  restored = _load(tmp_path, _train_state(0.0))
  assert isinstance(restored, TrainState)
  assert restored.name == "act"
  _assert_same(restored, _train_state(2.0))


def test_a_counter_that_became_an_array_resumes_from_zero(tmp_path):
  _save(tmp_path, {"step": jnp.int32(5), "x": jnp.zeros(1)})
  restored = _load(tmp_path, {"step": 0, "x": jnp.zeros(1)})
  assert restored["step"].dtype == np.int32
  assert int(restored["step"]) == 5


def test_a_number_takes_the_dtype_of_the_array_it_became(tmp_path):
  _save(tmp_path, {"step": 5, "x": jnp.zeros(1)})
  restored = _load(tmp_path, {"step": jnp.int32(0), "x": jnp.zeros(1)})
  assert restored["step"].dtype == np.int32
  assert int(restored["step"]) == 5


def test_weak_types_come_back_since_they_decide_promotion(tmp_path):
  state = {"weak": jnp.asarray(0.5), "strong": jnp.float32(0.5)}
  assert state["weak"].weak_type
  assert not state["strong"].weak_type
  _save(tmp_path, state)
  crossed = {"weak": state["strong"] * 0, "strong": state["weak"] * 0}
  restored = _load(tmp_path, crossed)
  x = jnp.ones(1, jnp.bfloat16)
  assert restored["weak"].weak_type
  assert (x * restored["weak"]).dtype == jnp.bfloat16
  assert not restored["strong"].weak_type
  assert float(restored["weak"]) == 0.5


def test_restored_numpy_arrays_can_be_written_to(tmp_path):
  _save(tmp_path, {"buffer": np.zeros((2, 3)), "x": np.array(1.0)})
  restored = _load(tmp_path, {"buffer": np.ones((2, 3)), "x": np.array(0.0)})
  for array in restored.values():
    array[...] = 7.0


def test_a_module_an_optimizer_and_an_iterator_register_in_one_line(tmp_path):
  def build(seed):
    module = nnx.Sequential(
      nnx.Linear(2, 3, rngs=nnx.Rngs(seed)), nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    )
    optimizer = nnx.Optimizer(
      module, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param
    )
    data = iter(grain.MapDataset.range(10).repeat().to_iter_dataset())
    checkpoint = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
    assert checkpoint.register("module", module) is module
    assert checkpoint.register("optimizer", optimizer) is optimizer
    assert checkpoint.register("data", data) is data
    counter = checkpoint.register("counter", {"episodes": 0, "name": "a"})
    return checkpoint, module, optimizer, data, counter

  checkpoint, module, optimizer, data, counter = build(0)
  state = nnx.state(module)
  nnx.update(module, jax.tree.map(lambda x: x + 1, state))
  grads = jax.tree.map(jnp.ones_like, nnx.state(module, nnx.Param))
  optimizer.update(module, grads)
  seen = [next(data) for _ in range(4)]
  counter.value = {"episodes": 12, "name": "b"}
  checkpoint.save(4)
  checkpoint.close()

  other, fresh, fresh_optimizer, fresh_data, fresh_counter = build(1)
  assert other.load_or_save() == 4
  _assert_same(nnx.state(fresh), nnx.state(module))
  _assert_same(nnx.state(fresh_optimizer), nnx.state(optimizer))
  assert fresh_counter.value == {"episodes": 12, "name": "b"}
  assert [*seen, next(fresh_data)] == [0, 1, 2, 3, 4]
  kept = json.loads((tmp_path / "000000004/counter/state.json").read_text())
  assert kept == {"episodes": 12, "name": "b"}
  other.close()


def test_module_paths_are_attribute_names(tmp_path):
  checkpoint = checkpoint_lib.Checkpoint(tmp_path)
  module = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
  checkpoint.register("module", module)
  checkpoint.register("state", nnx.state(module))
  checkpoint.save(1)
  checkpoint.close()
  stored = checkpoint_lib.read(tmp_path)
  assert set(stored["module"]) == {"kernel", "bias"}
  _assert_same(stored["state"], stored["module"])


def test_reading_needs_no_structure(tmp_path):
  _save(tmp_path / "checkpoints", _train_state(2.0))
  params = checkpoint_lib.read(tmp_path, regex="agent/params/.*")
  assert list(params) == ["agent"]
  assert list(params["agent"]) == ["params"]
  kernel = params["agent"]["params"]["encoder"]["kernel"]
  np.testing.assert_array_equal(kernel, np.full((2, 3), 2.0, np.float32))


def test_attached_files_are_in_every_step(tmp_path):
  config = {"seed": 3, "rates": [1e-5, None], "name": "ü"}
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    checkpoint.register("step", 0)
    checkpoint.attach("config.json", config)
    checkpoint.attach("assets/frame.png", b"\x89PNG")
    for step in (1, 2):
      checkpoint.save(step)
  for step in (1, 2):
    place = tmp_path / f"{step:09d}"
    assert checkpoint_lib.read_json(place, "config.json") == config
    assert (place / "assets/frame.png").read_bytes() == b"\x89PNG"
  with pytest.raises(errors.UserError, match=r"'config\.jsn': did you mean"):
    checkpoint_lib.read_json(tmp_path, "config.jsn")


def test_an_attached_function_is_called_at_each_save(tmp_path):
  notes = {"saves": 0}

  def count():
    notes["saves"] += 1
    return dict(notes)

  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    step = checkpoint.register("step", 0)
    checkpoint.attach("notes.json", count)
    checkpoint.attach("log.md", lambda: b"# Log")
    for step.value in (1, 2):
      checkpoint.save(step.value)
    checkpoint.attach("notes.json", {"saves": -1})  # in its place
    checkpoint.save(3)
    checkpoint.attach("log.md", lambda: {"not": {1}})
    with pytest.raises(errors.UserError, match=r"log\.md/not is a set"):
      checkpoint.save(4)
    with pytest.raises(errors.UserError, match="taken"):
      checkpoint.attach("log.md/part", b"")
  assert [
    checkpoint_lib.read_json(tmp_path / f"{step:09d}", "notes.json")["saves"]
    for step in (1, 2, 3)
  ] == [1, 2, -1]
  assert (tmp_path / "000000003/log.md").read_bytes() == b"# Log"
  assert checkpoint.verify() == {1: [], 2: [], 3: []}


@pytest.mark.parametrize(
  "name", ["agent", "agent/x", "manifest.json", "SIGNOFF.json", "../x", "/x"]
)
def test_attachments_cannot_take_a_name_in_use(tmp_path, name):
  checkpoint = checkpoint_lib.Checkpoint(tmp_path)
  checkpoint.register("agent", 0)
  with pytest.raises(errors.UserError):
    checkpoint.attach(name, b"")


@pytest.mark.parametrize(
  "name", ["", "a/b", "a b", "..", "agent", "assets", "manifest.json"]
)
def test_component_names_are_simple_and_free(tmp_path, name):
  checkpoint = checkpoint_lib.Checkpoint(tmp_path)
  checkpoint.register("agent", 0)
  checkpoint.attach("assets/frame.png", b"")
  with pytest.raises(errors.UserError):
    checkpoint.register(name, 0)


def test_a_component_of_ones_own(tmp_path):
  class Clock:
    seconds = np.float64(1.5)

    def state(self):
      return {"seconds": self.seconds}

    def load_state(self, state):
      self.seconds = state["seconds"]

  saved, restored = Clock(), Clock()
  saved.seconds = np.float64(2.5)
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    assert checkpoint.register("clock", saved) is saved
    checkpoint.save(0)
  checkpoint = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
  checkpoint.register("clock", restored)
  checkpoint.load()
  assert restored.seconds == 2.5
  assert type(restored.seconds) is np.float64
