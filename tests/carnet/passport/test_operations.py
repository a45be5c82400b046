"""Every operation by hand-computed numbers, in both libraries."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import operating
import pydantic
import pytest

from carnet import errors
from carnet.passport import operations, steps


def test_the_schema_and_the_functions_name_the_same_operations():
  union = steps.TransformStep.__args__[0].__args__
  named = {kind.model_fields["op"].annotation.__args__[0] for kind in union}
  assert named == set(operations._FORWARD) == set(operating.KINDS)
  assert set(operations._INVERSE) < named


BY_HAND = [
  (
    "scale",
    steps.ScaleParams(divisor=4.0, offset=-0.5),
    operating.row(2, 8),
    (0, 1.5),
  ),
  # (3 - 1) / (2 + 0.5); the floor: (6 - 5) / (0.01 + 0.5)
  ("standardize", operating.MOMENTS, operating.row(3, 6), (0.8, 1 / 0.51)),
  # 0.5 * 2 + 1; the floor and no epsilon: 100 * 0.01 + 5
  ("unstandardize", operating.MOMENTS, operating.row(0.5, 100), (2, 6)),
  # 2 (0 + 1) / 4 - 1; a width of zero is epsilon: 2 (5.25 - 5) / 0.25 - 1
  ("to_unit_range", operating.RANGE, operating.row(0, 5.25), (-0.5, 1)),
  ("from_unit_range", operating.RANGE, operating.row(-0.5, 1), (0, 5.25)),
  (
    "to_unit_range",
    steps.RangeParams(
      statistics=operating.PIN, low="q01", high="q99", epsilon=1e-8
    ),
    operating.row(2, 4.5),
    (1, -0.5),
  ),
  (
    "to_unit_range",
    steps.RangeParams(
      statistics=operating.PIN, low="q10", high="q90", epsilon=1e-8
    ),
    operating.row(2, 5.25),
    (2, 0),
  ),
  (
    "symlog",
    steps.NoParams(),
    operating.row(math.e - 1, 1 - math.e**2),
    (1, -2),
  ),
  (
    "one_hot",
    steps.OneHotParams(classes=3),
    operating.row(2, 0, dtype=np.int32),
    (0, 0, 1, 1, 0, 0),
  ),
  (
    "from_bounds",
    operating.bounds((0.0, -2.0), (4.0, 2.0)),
    operating.row(0.5, -9),
    (3, -2),
  ),
  (
    "from_bounds",
    operating.bounds((0.0,), (4.0,)),
    operating.row(-1, 1),
    (0, 4),
  ),
  # without bounds an element passes, also beyond one
  (
    "from_bounds",
    operating.bounds((None, 0.0), (None, 8.0)),
    operating.row(7, 0),
    (7, 4),
  ),
  (
    "from_bounds",
    operating.bounds((0.0, 0.0), (1.0, 1.0), False),
    operating.row(3, 0),
    (2, 0.5),
  ),
  (
    "from_bounds",
    operating.bounds((-1.0,), (1.0,)),
    operating.row(-3, 0.25),
    (-1, 0.25),
  ),
]


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
@pytest.mark.parametrize(("op", "params", "x", "expected"), BY_HAND)
def test_by_hand(op, params, x, expected, xp):
  found = operating.apply(op, params, xp.asarray(x), xp=xp)
  np.testing.assert_allclose(found[0], expected, rtol=2e-6, atol=1e-7)
  compiled = jax.jit(lambda x: operating.apply(op, params, x, xp=jnp))(x)
  np.testing.assert_allclose(compiled, found, rtol=5e-7, atol=1e-7)
  assert compiled.dtype == jnp.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64, np.float16])
def test_policies_compute_in_float32_whatever_comes(dtype):
  x = np.array([[1, 2]], dtype)
  for op, params in (
    ("standardize", operating.MOMENTS),
    ("to_unit_range", operating.RANGE),
  ):
    assert operating.apply(op, params, x).dtype == np.float32
  scale = steps.ScaleParams(divisor=255.0, offset=0.0)
  assert operating.apply("scale", scale, x).dtype == np.float32
  assert operating.apply("symlog", steps.NoParams(), x).dtype == np.float32


@pytest.mark.parametrize(
  ("block", "message"),
  [
    ({"mean": [1.0, 2.0]}, r"stats.json/x has no list of numbers 'std'"),
    ({}, "no list of numbers 'mean'"),
    ({"mean": [], "std": []}, "no list of numbers 'mean'"),
    ({"mean": "ab", "std": [1.0, 1.0]}, "no list of numbers 'mean'"),
    ({"mean": [1.0, "2"], "std": [1.0, 1.0]}, "'mean' that is no number"),
    ({"mean": [1.0, True], "std": [1.0, 1.0]}, "'mean' that is no number"),
    ({"mean": [[1.0], [2.0]], "std": [1.0, 1.0]}, "'mean' that is no number"),
    ({"mean": [1.0, math.nan], "std": [1.0, 1.0]}, "'mean' that is not finite"),
    ({"mean": [1.0, 1e39], "std": [1.0, 1.0]}, "'mean' that is not finite"),
    ({"mean": [1.0, 2.0], "std": [1.0, math.inf]}, "'std' that is not finite"),
    ({"mean": [1.0] * 3, "std": [1.0] * 3}, r"shape \(2,\) and 3 numbers"),
    ({"mean": [1.0], "std": [1.0]}, r"shape \(2,\) and 1 numbers"),
  ],
)
@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_statistics_never_pass_through(block, message, xp):
  with pytest.raises(errors.UserError, match=message):
    operating.apply(
      "standardize", operating.MOMENTS, xp.zeros((1, 2)), xp=xp, block=block
    )


def test_a_spread_of_nothing_or_backwards_is_refused():
  x = operating.row(1, 1)
  flat = {"mean": [0.0, 0.0], "std": [1.0, 0.0]}
  bare = steps.StandardizeParams(
    statistics=operating.PIN, std_floor=0.0, epsilon=0.0
  )
  with pytest.raises(errors.UserError, match="'std' of zero"):
    operating.apply("standardize", bare, x, block=flat)
  little = bare.model_copy(update={"epsilon": 1e-8})
  assert np.isfinite(
    operating.apply("standardize", little, x, block=flat)
  ).all()
  with pytest.raises(errors.UserError, match="zero cannot be undone"):
    operating.invert("unstandardize", little, x, block=flat)
  back = {"min": [2.0, 0.0], "max": [1.0, 1.0]}
  with pytest.raises(errors.UserError, match="'min' that is not below 'max'"):
    operating.apply("to_unit_range", operating.RANGE, x, block=back)


def test_statistics_of_an_array_without_features_are_refused():
  block = {"mean": [1.0], "std": [1.0]}
  with pytest.raises(errors.UserError, match="1 numbers to normalise"):
    operating.apply("standardize", operating.MOMENTS, np.zeros(1), block=block)


def test_constants_need_no_file():
  params = steps.StandardizeParams(
    constants=steps.Constants(mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 2.0)),
    std_floor=0.0,
    epsilon=0.0,
  )
  picture = np.ones((2, 4, 4, 3), np.float32)
  found = operating.apply("standardize", params, picture, block={})
  np.testing.assert_array_equal(found[1, 2, 3], [1.0, 1.0, 0.0])
  with pytest.raises(errors.UserError, match=r"shape \(4, 4, 1\) and 3"):
    operating.apply("standardize", params, picture[..., :1])


def test_pictures_that_were_divided_already_are_refused():
  params = steps.ScaleParams(divisor=255.0, offset=0.0, dtype="uint8")
  assert (
    operating.apply("scale", params, operating.row(255, dtype=np.uint8))[0, 0]
    == 1.0
  )
  with pytest.raises(errors.UserError, match="takes uint8, not float32"):
    operating.apply("scale", params, operating.row(1.0))
  with pytest.raises(pydantic.ValidationError, match="a divisor of zero"):
    steps.ScaleParams(divisor=0.0, offset=0.0)


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_what_is_missing_is_all_zeros(xp):
  x = xp.asarray([[[1.0, -np.inf]], [[1.0, 0.0]]], xp.float32)
  found = operating.apply("symlog", steps.NoParams(), x, xp=xp)
  assert found.shape == (2, 1, 2)
  np.testing.assert_array_equal(found[0], 0)
  np.testing.assert_allclose(found[1, 0, 0], np.log(2), rtol=1e-6)
  classes = xp.asarray([[1, -1], [1, 0]], xp.int32)
  hot = operating.apply(
    "one_hot", steps.OneHotParams(classes=2), classes, xp=xp
  )
  np.testing.assert_array_equal(hot, [[0, 0, 0, 0], [0, 1, 1, 0]])


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_scalars_and_unknown_classes(xp):
  hot = operating.apply(
    "one_hot", steps.OneHotParams(classes=2), xp.asarray([0, 1, 7]), xp=xp
  )
  np.testing.assert_array_equal(hot, [[1, 0], [0, 1], [0, 0]])
  found = operating.apply(
    "symlog", steps.NoParams(), xp.asarray([0.0, 1.0]), xp=xp
  )
  np.testing.assert_allclose(found, [0, np.log(2)], rtol=1e-6)
  with pytest.raises(errors.UserError, match="takes integers, not float32"):
    operating.apply(
      "one_hot", steps.OneHotParams(classes=2), operating.row(1.0)
    )


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_joined_by_features_and_by_channels(xp):
  flat = steps.ConcatenateParams(keys=("a", "b"), axis="features")
  a, b = xp.asarray([1.0, 2.0]), xp.asarray([[[3, 4], [5, 6]]] * 2)
  found = operating.apply("concatenate", flat, a, b, xp=xp)
  np.testing.assert_array_equal(found, [[1, 3, 4, 5, 6], [2, 3, 4, 5, 6]])
  assert found.dtype == np.float32
  channels = steps.ConcatenateParams(keys=("a", "b"), axis="channels")
  one, three = xp.zeros((2, 4, 4, 1)), xp.ones((2, 4, 4, 3))
  found = operating.apply("concatenate", channels, one, three, xp=xp)
  assert found.shape == (2, 4, 4, 4)
  np.testing.assert_array_equal(found[0, 0, 0], [0, 1, 1, 1])
  with pytest.raises(errors.UserError, match="agree in all but the last axis"):
    operating.apply("concatenate", channels, one, xp.ones((2, 5, 4, 3)), xp=xp)
  with pytest.raises(errors.UserError, match="agree in all but the last axis"):
    operating.apply(
      "concatenate", channels, one, xp.ones((2, 4, 4, 3), "int32"), xp=xp
    )


def test_bounds_must_fit_and_be_known():
  with pytest.raises(errors.UserError, match="2 bounds for an action of shape"):
    operating.apply(
      "from_bounds",
      operating.bounds((0.0, 0.0), (1.0, 1.0)),
      operating.row(1, 2, 3),
    )
  with pytest.raises(errors.UserError, match="do not tell the bounds"):
    operating.apply(
      "from_bounds", operating.bounds(None, None), operating.row(1)
    )
  for low, high in (
    ((0.0,), None),
    ((0.0,), (1.0, 1.0)),
    ((None,), (1.0,)),
    ((2.0,), (1.0,)),
  ):
    with pytest.raises(pydantic.ValidationError):
      operating.bounds(low, high)


def test_chunks_are_cut_or_left_to_be_averaged():
  chunk = np.arange(12.0).reshape(1, 6, 2)
  params = steps.ExecuteParams(
    horizon=6, n_action_steps=2, temporal_ensemble_coefficient=None
  )
  found = operating.apply("execute_chunk", params, chunk)
  np.testing.assert_array_equal(found, [[[0, 1], [2, 3]]])
  averaged = params.model_copy(update={"temporal_ensemble_coefficient": 0.1})
  np.testing.assert_array_equal(
    operating.apply("execute_chunk", averaged, chunk), chunk
  )
  with pytest.raises(errors.UserError, match="chunks of 6 actions"):
    operating.apply("execute_chunk", params, chunk[:, :5])


def test_actions_are_repeated_in_time():
  found = operating.apply(
    "repeat_action", steps.RepeatParams(times=3), operating.row(1, 2)
  )
  np.testing.assert_array_equal(found, [[[1, 2]] * 3])
