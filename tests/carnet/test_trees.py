"""Pytrees as flat dictionaries: the identity there and back, and refusals."""

import collections

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import strategies

from carnet import errors, paths, trees

Point = collections.namedtuple("Point", ["x", "y"])

NAMES = strategies.text("ab./é 0", min_size=1, max_size=3)
TREES = strategies.recursive(
  strategies.integers() | strategies.none(),
  lambda inner: (
    strategies.lists(inner, max_size=3)
    | strategies.tuples(inner, inner)
    | strategies.builds(Point, inner, inner)
    | strategies.dictionaries(NAMES, inner, max_size=3)
    | strategies.dictionaries(strategies.integers(0, 12), inner, max_size=3)
  ),
  max_leaves=12,
)


@hypothesis.given(TREES)
@hypothesis.settings(max_examples=200, deadline=None)
def test_there_and_back_is_the_identity_or_refused(tree):
  try:
    flat = trees.flatten(tree)
  except errors.UserError:
    # only names that cannot be told apart in a path are refused
    keys = str(jax.tree_util.tree_leaves_with_path(tree))
    assert "/" in keys or "'.'" in keys or "'..'" in keys
    return
  assert list(flat.values()) == jax.tree.leaves(tree)
  assert trees.unflatten(flat, tree) == tree
  if flat:
    assert trees.flatten(paths.nest(flat)) == flat


def test_paths_join_names_attributes_and_indices():
  tree = {"a": [1, (2, Point(3, 4))], "b": {5: 5}, "none": None, "empty": {}}
  assert trees.flatten(tree) == {
    "a/0": 1,
    "a/1/0": 2,
    "a/1/1/x": 3,
    "a/1/1/y": 4,
    "b/5": 5,
  }


def test_a_leaf_is_the_empty_path():
  assert trees.flatten(7) == {"": 7}
  assert trees.unflatten({"": 8}, 7) == 8
  assert paths.nest({"": 8}) == 8


def test_optimizer_state_has_readable_paths():
  state = optax.adam(1e-3).init({"w": jnp.ones(2)})
  assert set(trees.flatten(state)) == {"0/count", "0/mu/w", "0/nu/w"}


def test_variables_are_leaves_without_a_level_of_their_own():
  module = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
  state = nnx.state(module)
  flat = trees.flatten(state)
  assert set(flat) == {"kernel", "bias"}
  doubled = trees.unflatten({p: 2 * x for p, x in flat.items()}, state)
  assert jax.tree.structure(doubled) == jax.tree.structure(state)
  np.testing.assert_array_equal(
    doubled["kernel"].get_value(), 2 * module.kernel.get_value()
  )


def test_dots_do_not_collide():
  assert set(trees.flatten({"a.b": 1, "a": {"b": 2}})) == {"a.b", "a/b"}


@pytest.mark.parametrize(
  ("tree", "named"),
  [
    ({"x": {"a/b": 1, "a": {"b": 2}}}, r"'a/b' in 'x'"),
    ({"x": {"": 1}}, r"'' in 'x'"),
    ({"x": {"..": 1}}, r"'\.\.' in 'x'"),
    ({"x": {"a\nb": 1}}, r"'a\\nb' in 'x'"),
    ({"x": {"a\\b": 1}}, "in 'x'"),
    ({"x": {(1, 2): 1}}, r"\(1, 2\) in 'x' is a tuple"),
    ({"x": {1.5: 1}}, "in 'x' is a float"),
  ],
)
def test_names_that_are_no_part_of_a_path_are_refused(tree, named):
  with pytest.raises(errors.UserError, match=named):
    trees.flatten(tree)


def test_two_leaves_with_one_path_are_refused():
  class Odd:
    pass

  def with_keys(odd):
    del odd
    key = jax.tree_util.DictKey
    return ((key("1"), 10), (key(1), 20)), None

  jax.tree_util.register_pytree_with_keys(Odd, with_keys, lambda *_: Odd())
  with pytest.raises(errors.UserError, match="share the path 'x/1'"):
    trees.flatten({"x": Odd()})


def test_leaves_that_do_not_fit_are_named():
  with pytest.raises(errors.UserError, match=r"missing \['b'\].*\['c'\]"):
    trees.unflatten({"a": 1, "c": 2}, {"a": 0, "b": 0})


@pytest.mark.parametrize("flat", [{"a": 1, "a/b": 2}, {"a/b": 2, "a": 1}])
def test_a_path_is_a_leaf_or_a_parent(flat):
  with pytest.raises(errors.UserError, match="'a' is a leaf and a parent"):
    paths.nest(flat)


def test_a_dictionary_leaf_is_not_a_parent():
  with pytest.raises(errors.UserError, match="'a' is a leaf and a parent"):
    paths.nest({"a": {}, "a/b": 2})


@pytest.mark.parametrize("levels", [401, 3000, 100_000])
def test_a_tree_that_is_too_deep_is_refused(levels):
  tree = 0
  for _ in range(levels):
    tree = [tree]
  with pytest.raises(errors.UserError, match="'agent' is nested more than 400"):
    trees.flatten(tree, "agent")


def test_a_tree_of_400_levels_is_not_too_deep():
  tree = 0
  for _ in range(400):
    tree = [tree]
  assert trees.unflatten(trees.flatten(tree), tree) == tree


def test_keys_of_several_kinds_are_refused():
  with pytest.raises(errors.UserError, match="keys of one kind"):
    trees.flatten({1: 0, "a": 0})
