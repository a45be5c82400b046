"""Numbers that become arrays, and arrays that become numbers: no value lost."""

import math
import pathlib

import flax.struct
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import leaves, placement, plan, restore, source


@flax.struct.dataclass
class TrainState:
  step: object
  params: dict


def _save(directory, value):
  with checkpoint_lib.Checkpoint(directory) as checkpoint:
    checkpoint.register("agent", value)
    checkpoint.save(1)


def _load(directory, target, rename=None, strict=True):
  """Does what `Checkpoint.load` does, down to the new value."""
  origin = source.find(pathlib.Path(directory))
  states = {"agent": target}
  aligned, specs = restore.align(origin, states, rename)
  rows = plan.make(aligned.specs(), specs, rename=rename)
  assert {row.source for row in rows if row.source} <= set(aligned.sizes())
  if strict:
    plan.check(rows)
  return restore.merge(aligned, rows, states).states["agent"]


@pytest.mark.parametrize(
  "build",
  [
    lambda x: x,
    lambda x: {"step": x},
    lambda x: {"a": [x, {"b": x}], "none": None, "empty": {}},
  ],
)
@pytest.mark.parametrize("number", [0, 0.0, False])
def test_a_component_of_numbers_resumes_after_jit(tmp_path, build, number):
  _save(
    tmp_path, build(jax.jit(lambda x: ~x if x.dtype == bool else x + 3)(number))
  )
  restored = _load(tmp_path, build(number))
  assert jax.tree.structure(restored) == jax.tree.structure(build(number))
  for leaf in jax.tree.leaves(restored):
    assert isinstance(leaf, jax.Array)
    assert leaf.weak_type == (type(number) is not bool)
    assert leaf.dtype == jnp.asarray(number).dtype
    assert leaf == (True if number is False else 3)


@pytest.mark.parametrize(
  "target", [np.float32(0), np.zeros(()), jnp.float32(0), jnp.asarray(0.0)]
)
def test_numbers_in_json_become_the_arrays_of_later(tmp_path, target):
  _save(tmp_path, {"loss": 0.5, "more": [2.5]})
  restored = _load(tmp_path, {"loss": target, "more": [target]})
  for leaf, value in ((restored["loss"], 0.5), (restored["more"][0], 2.5)):
    assert leaf == value
    assert leaf.dtype == target.dtype
    assert isinstance(leaf, jax.Array) == isinstance(target, jax.Array)
    assert getattr(leaf, "weak_type", 0) == getattr(target, "weak_type", 0)


@pytest.mark.parametrize("lost", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_lacks_is_saved_and_comes_back(tmp_path, lost):
  _save(tmp_path, {"loss": lost, "step": 3})
  restored = _load(tmp_path, {"loss": 0.0, "step": 0})
  np.testing.assert_equal(restored, {"loss": lost, "step": 3})
  assert [type(x) for x in restored.values()] == [float, int]
  _save(tmp_path / "sound", {"loss": 0.5, "step": 4})
  assert _load(tmp_path / "sound", restored) == {"loss": 0.5, "step": 4}


def test_other_json_stays_one_leaf(tmp_path):
  _save(tmp_path, {"a": 1, "b": 2})
  assert _load(tmp_path, {"c": 0}) == {"a": 1, "b": 2}
  assert _load(tmp_path, {}) == {"a": 1, "b": 2}
  for value in ({"a": "text"}, {"a": 2**70}, {"a/b": 1}, {}):
    directory = tmp_path / str(len(str(value)))
    _save(directory, value)
    assert _load(directory, {"a": 0}) == value
    with pytest.raises(checkpoint_lib.MismatchError, match="agent json"):
      _load(directory, {"a": jnp.int32(0)})


def test_numbers_of_another_structure_do_not_fit(tmp_path):
  _save(tmp_path, {"a": 1, "b": 2})
  with pytest.raises(checkpoint_lib.MismatchError) as caught:
    _load(tmp_path, {"a": jnp.int32(0), "c": jnp.int32(0)})
  assert "unexpected: agent/b" in str(caught.value)
  assert "missing: agent/c" in str(caught.value)
  restored = _load(tmp_path, {"a": np.int64(0), "c": 7.5}, strict=False)
  assert restored == {"a": 1, "c": 7.5}


def test_renamed_arrays_become_the_numbers_of_now(tmp_path):
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    checkpoint.register("old", {"n": jnp.int32(3)})
    checkpoint.save(1)
  restored = _load(tmp_path, {"m": 0}, {"old/n": "agent/m"})
  assert restored["m"] == 3


@pytest.mark.parametrize(
  ("number", "target", "named"),
  [
    (1e300, jnp.zeros(()), "float32 here and python:float"),
    (1e300, np.float16(0), "float16 here and python:float"),
    (math.inf, np.zeros((), ml_dtypes.float8_e4m3fn), "float8_e4m3fn here and"),
    (2**40, jnp.int32(0), "int32 here and python:int"),
    (-1, jnp.uint32(0), "uint32 here and python:int"),
    (-1, np.uint64(0), "uint64 here and python:int"),
    (300, np.zeros((), np.uint8), "uint8 here and python:int"),
  ],
)
def test_a_number_that_does_not_fit_is_refused(tmp_path, number, target, named):
  _save(tmp_path, {"x": number, "y": jnp.zeros(1)})
  checkpoint = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
  handle = checkpoint.register("agent", {"x": target, "y": jnp.ones(1)})
  with pytest.raises(checkpoint_lib.MismatchError) as caught:
    checkpoint.load()
  assert f"agent/x is {named}" in str(caught.value)
  assert handle.value["y"] == 1  # nothing was restored


@pytest.mark.parametrize("value", [np.int64(2**32 + 1), np.float64(0.1), 0.1])
def test_wide_leaves_are_not_narrowed_for_an_abstract_target(tmp_path, value):
  _save(tmp_path, {"x": value, "y": jnp.zeros(1)})
  dtype = np.asarray(value).dtype
  target = {"x": jax.ShapeDtypeStruct((), dtype), "y": jnp.zeros(1)}
  checkpoint = checkpoint_lib.Checkpoint(tmp_path, verbose=False)
  checkpoint.register("agent", target)
  with pytest.raises(checkpoint_lib.MismatchError) as caught:
    checkpoint.load()
  assert f"agent/x is {dtype} here" in str(caught.value)
  assert "would make it" in str(caught.value)


def test_a_float_is_rounded_to_the_array_it_became(tmp_path):
  _save(tmp_path, {"x": 0.1, "y": jnp.zeros(1)})
  restored = _load(tmp_path, {"x": jnp.float32(0), "y": jnp.zeros(1)})
  assert restored["x"] == np.float32(0.1)
  assert restored["x"].dtype == np.float32


@pytest.mark.parametrize("weak", [False, True])
def test_the_step_of_a_train_state_stays_a_jax_array(tmp_path, weak):
  step = jax.jit(lambda x: x + 1)(4) if weak else jnp.int32(5)
  _save(tmp_path, TrainState(step, {"w": jnp.zeros(1)}))
  restored = _load(tmp_path, TrainState(0, {"w": jnp.zeros(1)}))
  assert isinstance(restored.step, jax.Array)
  assert restored.step == 5
  assert restored.step.dtype == np.int32
  assert restored.step.weak_type is weak


def test_an_array_that_jax_would_narrow_stays_of_numpy(tmp_path):
  _save(tmp_path, {"step": np.int64(2**40), "w": jnp.zeros(1)})
  restored = _load(tmp_path, {"step": 0, "w": jnp.zeros(1)})
  assert type(restored["step"]) is np.ndarray
  assert restored["step"] == 2**40


def test_damaged_numbers_in_json_are_found(tmp_path):
  _save(tmp_path, {"loss": 0.5})
  file = tmp_path / "000000001/agent/state.json"
  file.write_bytes(file.read_bytes().replace(b"0.5", b"0.6"))
  with pytest.raises(checkpoint_lib.CorruptError, match=r"state\.json"):
    _load(tmp_path, {"loss": np.float32(0)})


def test_a_python_number_takes_the_weak_type_of_the_array_it_became():
  spec = leaves.Spec((), "python:float")
  array = np.array(0.5)
  weak = placement.rebuild(array, spec, jnp.asarray(0.0), "x")
  strong = placement.rebuild(array, spec, jnp.float32(0), "x")
  assert (weak.weak_type, strong.weak_type) == (True, False)
