"""What cannot be kept is refused, with its path and what to do instead."""

import dataclasses
import sys

import grain
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import components


@dataclasses.dataclass
class Unregistered:
  weights: object


def _generator():
  yield 1


STRUCTURED = np.zeros(2, [("a", "f4"), ("b", "i4")])


@pytest.mark.parametrize(
  ("leaf", "named", "remedy"),
  [
    ("text", "of type str", "text as a component of its own"),
    (b"bytes", "of type bytes", "np.frombuffer"),
    (np.array(["text"]), "an array of str", "array.tolist()"),
    (np.array([None]), "an array of object", "arrays of bfloat16, bool, "),
    (np.zeros(2, ">f4"), "an array of float32 in a", "newbyteorder('=')"),
    (np.zeros(2, np.longdouble), "an array of", "float64, float8_e4m3fn"),
    (np.zeros(2, ml_dtypes.int4), "an array of int4", "int32, int64, int8"),
    (jnp.zeros(2, jnp.int4), "an array of int4", "int32, int64, int8"),
    (np.zeros(2, "M8[s]"), "an array of datetime64", "array.view('int64')"),
    (STRUCTURED, "a structured array", "array.dtype.names"),
    (np.ma.zeros(2), "of type MaskedArray", ".data and .mask"),
    (1j, "of type complex", "np.complex128"),
    (2**63, "the integer 9223372036854775808", "beyond 64 bits"),
    (2**5000, "the integer of many digits", "beyond 64 bits"),
    (object(), "of type object", "state() and load_state(state)"),
    (_generator, "of type function", "the data that it works on"),
    (sys, "of type module", "the data that it works on"),
    (Unregistered, "the class Unregistered", "an instance"),
    (Unregistered(1), "of type Unregistered", "register_dataclass"),
  ],
)
def test_what_would_change_is_refused_by_path(tmp_path, leaf, named, remedy):
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    checkpoint.register("agent", {"x": {"leaf": leaf, "y": jnp.zeros(1)}})
    with pytest.raises(errors.UserError) as caught:
      checkpoint.save(1)
  assert f"agent/x/leaf is {named}" in str(caught.value)
  assert remedy in str(caught.value)
  assert "\n" not in str(caught.value)
  assert checkpoint.steps() == []


def test_an_abstract_leaf_has_nothing_to_save(tmp_path):
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    checkpoint.register("agent", jax.ShapeDtypeStruct((2,), jnp.float32))
    with pytest.raises(errors.UserError, match="agent is abstract"):
      checkpoint.save(1)


@pytest.mark.parametrize(
  ("value", "named"),
  [
    ({"a": [1, float("nan")], "name": "b"}, "count/a/1 is nan"),
    ({"a": (1, "b")}, "count/a is a tuple"),
    ({"a": {1: "b"}}, "count/a has the key 1"),
  ],
)
def test_json_that_would_change_is_refused_by_path(tmp_path, value, named):
  with checkpoint_lib.Checkpoint(tmp_path) as checkpoint:
    checkpoint.register("count", value)
    with pytest.raises(errors.UserError, match=named):
      checkpoint.save(1)


@pytest.mark.parametrize(
  ("component", "remedy"),
  [
    (None, "is None: register what training updates"),
    (dict, "register an instance"),
    (np, "the data that it works on"),
    (_generator, "the data that it works on"),
    (_generator(), "get_state() and set_state(state)"),
    (object(), "state() and load_state(state)"),
    (Unregistered(1), "register_dataclass"),
    (grain.MapDataset.range(3), "register iter(dataset)"),
    (grain.MapDataset.range(3).to_iter_dataset(), "register iter(dataset)"),
    (np.array(["text"]), "array.tolist()"),
  ],
)
def test_what_can_never_be_saved_is_refused_at_once(
  tmp_path, component, remedy
):
  checkpoint = checkpoint_lib.Checkpoint(tmp_path)
  with pytest.raises(errors.UserError) as caught:
    checkpoint.register("agent", component)
  assert remedy in str(caught.value)
  checkpoint.register("agent", 5)  # the name is still free


@pytest.mark.parametrize("component", [5, 2.5, True, "text", [], {"a": None}])
def test_json_is_a_component_of_any_shape(tmp_path, component):
  with checkpoint_lib.Checkpoint(tmp_path, verbose=False) as checkpoint:
    handle = checkpoint.register("agent", component)
    checkpoint.save(1)
    checkpoint.wait()
    handle.value = "other"
    checkpoint.load()
  assert handle.value == component
  assert type(handle.value) is type(component)


@pytest.mark.parametrize("levels", [450, 3000])
@pytest.mark.parametrize("leaf", [1, np.zeros(1), jnp.zeros(1)])
def test_a_tree_that_is_too_deep_is_refused(levels, leaf):
  tree = leaf
  for _ in range(levels):
    tree = {"a": tree}
  for _ in range(9):  # a failure leaves nothing behind
    with pytest.raises(errors.UserError, match=r"agent.* nested"):
      components.capture("agent", tree)


def test_keys_that_have_no_order_are_refused():
  tree = {1: jnp.zeros(1), "a": jnp.zeros(1)}
  for use in (components.capture, components.specs):
    with pytest.raises(errors.UserError, match="'agent' is not a tree"):
      use("agent", tree)


def test_a_mapped_file_is_the_array_it_holds(tmp_path):
  mapped = np.memmap(tmp_path / "array", np.int16, "w+", shape=(3,))
  mapped[:] = [1, 2, 3]
  with checkpoint_lib.Checkpoint(tmp_path / "steps") as checkpoint:
    checkpoint.register("agent", {"x": mapped})
    checkpoint.save(1)
    mapped[:] = 0
  stored = checkpoint_lib.read(tmp_path / "steps")["agent"]["x"]
  np.testing.assert_array_equal(stored, np.array([1, 2, 3], np.int16))
  checkpoint = checkpoint_lib.Checkpoint(tmp_path / "steps", verbose=False)
  handle = checkpoint.register("agent", {"x": mapped})
  checkpoint.load()
  assert type(handle.value["x"]) is np.ndarray
  np.testing.assert_array_equal(handle.value["x"], stored)
