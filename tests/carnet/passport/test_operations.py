"""Every operation by hand-computed numbers, undone, and in both modules."""

import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest
from hypothesis import strategies
from PIL import Image

from carnet import errors
from carnet.passport import contract, operations, pictures, steps

BLOCK = {
  "mean": [1.0, 5.0],
  "std": [2.0, 0.001],
  "min": [-1.0, 5.0],
  "max": [3.0, 5.0],
  "q01": [0.0, 4.0],
  "q99": [2.0, 6.0],
  "q10": [0.5, 5.0],
  "q90": [1.5, 5.5],
}
PIN = contract.Fingerprint(file="stats.json", key="x", file_sha256="0" * 64)
KINDS = {
  "resize": steps.Resize,
  "gray": steps.Gray,
  "aggregate_frames": steps.Aggregate,
  "scale": steps.Scale,
  "standardize": steps.Standardize,
  "unstandardize": steps.Unstandardize,
  "to_unit_range": steps.ToUnitRange,
  "from_unit_range": steps.FromUnitRange,
  "symlog": steps.Symlog,
  "one_hot": steps.OneHot,
  "concatenate": steps.Concatenate,
  "from_bounds": steps.FromBounds,
  "execute_chunk": steps.Execute,
  "repeat_action": steps.Repeat,
}
MOMENTS = steps.StandardizeParams(statistics=PIN, std_floor=0.01, epsilon=0.5)
RANGE = steps.RangeParams(statistics=PIN, low="min", high="max", epsilon=0.25)


def make(op, params):
  return KINDS[op](
    index=0,
    stage="pre",
    input_key="x",
    output_key="y",
    invertible=False,
    code_ref="here:here",
    op=op,
    params=params,
  )


def call(xp=np, block=None, batch_axes=1):
  block = BLOCK if block is None else block
  return operations.Call(lambda file, key: block, xp, batch_axes)


def apply(op, params, *arrays, **options):
  return operations.apply(make(op, params), arrays, call(**options))


def invert(op, params, array, **options):
  return operations.invert(make(op, params), array, call(**options))


def bounds(low, high, clip=True):
  return steps.BoundsParams(low=low, high=high, clip=clip)


def row(*values, dtype=np.float32):
  return np.array([values], dtype)


def test_the_schema_and_the_functions_name_the_same_operations():
  union = steps.TransformStep.__args__[0].__args__
  named = {kind.model_fields["op"].annotation.__args__[0] for kind in union}
  assert named == set(operations._FORWARD) == set(KINDS)
  assert set(operations._INVERSE) < named


BY_HAND = [
  ("scale", steps.ScaleParams(divisor=4.0, offset=-0.5), row(2, 8), (0, 1.5)),
  # (3 - 1) / (2 + 0.5); the floor: (6 - 5) / (0.01 + 0.5)
  ("standardize", MOMENTS, row(3, 6), (0.8, 1 / 0.51)),
  # 0.5 * 2 + 1; the floor and no epsilon: 100 * 0.01 + 5
  ("unstandardize", MOMENTS, row(0.5, 100), (2, 6)),
  # 2 (0 + 1) / 4 - 1; a width of zero is epsilon: 2 (5.25 - 5) / 0.25 - 1
  ("to_unit_range", RANGE, row(0, 5.25), (-0.5, 1)),
  ("from_unit_range", RANGE, row(-0.5, 1), (0, 5.25)),
  (
    "to_unit_range",
    steps.RangeParams(statistics=PIN, low="q01", high="q99", epsilon=1e-8),
    row(2, 4.5),
    (1, -0.5),
  ),
  (
    "to_unit_range",
    steps.RangeParams(statistics=PIN, low="q10", high="q90", epsilon=1e-8),
    row(2, 5.25),
    (2, 0),
  ),
  ("symlog", steps.NoParams(), row(math.e - 1, 1 - math.e**2), (1, -2)),
  (
    "one_hot",
    steps.OneHotParams(classes=3),
    row(2, 0, dtype=np.int32),
    (0, 0, 1, 1, 0, 0),
  ),
  ("from_bounds", bounds((0.0, -2.0), (4.0, 2.0)), row(0.5, -9), (3, -2)),
  ("from_bounds", bounds((0.0,), (4.0,)), row(-1, 1), (0, 4)),
  # without bounds an element passes, also beyond one
  ("from_bounds", bounds((None, 0.0), (None, 8.0)), row(7, 0), (7, 4)),
  ("from_bounds", bounds((0.0, 0.0), (1.0, 1.0), False), row(3, 0), (2, 0.5)),
  ("from_bounds", bounds((-1.0,), (1.0,)), row(-3, 0.25), (-1, 0.25)),
]


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
@pytest.mark.parametrize(("op", "params", "x", "expected"), BY_HAND)
def test_by_hand(op, params, x, expected, xp):
  found = apply(op, params, xp.asarray(x), xp=xp)
  np.testing.assert_allclose(found[0], expected, rtol=2e-6, atol=1e-7)
  compiled = jax.jit(lambda x: apply(op, params, x, xp=jnp))(x)
  np.testing.assert_allclose(compiled, found, rtol=5e-7, atol=1e-7)
  assert compiled.dtype == jnp.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64, np.float16])
def test_policies_compute_in_float32_whatever_comes(dtype):
  x = np.array([[1, 2]], dtype)
  for op, params in (("standardize", MOMENTS), ("to_unit_range", RANGE)):
    assert apply(op, params, x).dtype == np.float32
  scale = steps.ScaleParams(divisor=255.0, offset=0.0)
  assert apply("scale", scale, x).dtype == np.float32
  assert apply("symlog", steps.NoParams(), x).dtype == np.float32


ROUND_TRIPS = [
  ("scale", steps.ScaleParams(divisor=255.0, offset=-0.5)),
  ("standardize", MOMENTS),
  ("unstandardize", MOMENTS),
  ("to_unit_range", RANGE),
  ("from_unit_range", RANGE),
  ("symlog", steps.NoParams()),
]


@pytest.mark.parametrize(("op", "params"), ROUND_TRIPS)
@hypothesis.given(
  strategies.lists(
    strategies.tuples(*[strategies.floats(-50, 50, width=32)] * 2),
    min_size=1,
    max_size=5,
  )
)
def test_an_inverse_undoes(op, params, rows):
  x = np.array(rows, np.float32)
  there = apply(op, params, x)
  back = invert(op, params, there)
  # 5 is subtracted where the floor of 0.01 multiplies by a hundred
  np.testing.assert_allclose(back, x, rtol=2e-5, atol=2e-4)
  np.testing.assert_allclose(
    apply(op, params, back), there, rtol=2e-4, atol=2e-2
  )


@hypothesis.given(
  strategies.lists(strategies.floats(-1, 1, width=32), min_size=2, max_size=2)
)
def test_bounds_are_undone(values):
  params = bounds((0.5, None), (3.0, None))
  x = np.array([values], np.float32)
  back = invert("from_bounds", params, apply("from_bounds", params, x))
  np.testing.assert_allclose(back, x, atol=1e-6)


def test_what_has_no_inverse_says_so():
  step = make("one_hot", steps.OneHotParams(classes=2))
  assert not operations.has_inverse(step)
  assert operations.has_inverse(make("symlog", steps.NoParams()))
  with pytest.raises(errors.UserError, match=r"0 \(one_hot\) has no inverse"):
    operations.invert(step, row(1), call())


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
    apply("standardize", MOMENTS, xp.zeros((1, 2)), xp=xp, block=block)


def test_a_spread_of_nothing_or_backwards_is_refused():
  x = row(1, 1)
  flat = {"mean": [0.0, 0.0], "std": [1.0, 0.0]}
  bare = steps.StandardizeParams(statistics=PIN, std_floor=0.0, epsilon=0.0)
  with pytest.raises(errors.UserError, match="'std' of zero"):
    apply("standardize", bare, x, block=flat)
  little = bare.model_copy(update={"epsilon": 1e-8})
  assert np.isfinite(apply("standardize", little, x, block=flat)).all()
  with pytest.raises(errors.UserError, match="zero cannot be undone"):
    invert("unstandardize", little, x, block=flat)
  back = {"min": [2.0, 0.0], "max": [1.0, 1.0]}
  with pytest.raises(errors.UserError, match="'min' that is not below 'max'"):
    apply("to_unit_range", RANGE, x, block=back)


def test_statistics_of_an_array_without_features_are_refused():
  block = {"mean": [1.0], "std": [1.0]}
  with pytest.raises(errors.UserError, match="1 numbers to normalise"):
    apply("standardize", MOMENTS, np.zeros(1), block=block)


def test_constants_need_no_file():
  params = steps.StandardizeParams(
    constants=steps.Constants(mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 2.0)),
    std_floor=0.0,
    epsilon=0.0,
  )
  picture = np.ones((2, 4, 4, 3), np.float32)
  found = apply("standardize", params, picture, block={})
  np.testing.assert_array_equal(found[1, 2, 3], [1.0, 1.0, 0.0])
  with pytest.raises(errors.UserError, match=r"shape \(4, 4, 1\) and 3"):
    apply("standardize", params, picture[..., :1])


def test_pictures_that_were_divided_already_are_refused():
  params = steps.ScaleParams(divisor=255.0, offset=0.0, dtype="uint8")
  assert apply("scale", params, row(255, dtype=np.uint8))[0, 0] == 1.0
  with pytest.raises(errors.UserError, match="takes uint8, not float32"):
    apply("scale", params, row(1.0))
  with pytest.raises(pydantic.ValidationError, match="a divisor of zero"):
    steps.ScaleParams(divisor=0.0, offset=0.0)


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_what_is_missing_is_all_zeros(xp):
  x = xp.asarray([[[1.0, -np.inf]], [[1.0, 0.0]]], xp.float32)
  found = apply("symlog", steps.NoParams(), x, xp=xp)
  assert found.shape == (2, 1, 2)
  np.testing.assert_array_equal(found[0], 0)
  np.testing.assert_allclose(found[1, 0, 0], np.log(2), rtol=1e-6)
  classes = xp.asarray([[1, -1], [1, 0]], xp.int32)
  hot = apply("one_hot", steps.OneHotParams(classes=2), classes, xp=xp)
  np.testing.assert_array_equal(hot, [[0, 0, 0, 0], [0, 1, 1, 0]])


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_scalars_and_unknown_classes(xp):
  hot = apply(
    "one_hot", steps.OneHotParams(classes=2), xp.asarray([0, 1, 7]), xp=xp
  )
  np.testing.assert_array_equal(hot, [[1, 0], [0, 1], [0, 0]])
  found = apply("symlog", steps.NoParams(), xp.asarray([0.0, 1.0]), xp=xp)
  np.testing.assert_allclose(found, [0, np.log(2)], rtol=1e-6)
  with pytest.raises(errors.UserError, match="takes integers, not float32"):
    apply("one_hot", steps.OneHotParams(classes=2), row(1.0))


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_joined_by_features_and_by_channels(xp):
  flat = steps.ConcatenateParams(keys=("a", "b"), axis="features")
  a, b = xp.asarray([1.0, 2.0]), xp.asarray([[[3, 4], [5, 6]]] * 2)
  found = apply("concatenate", flat, a, b, xp=xp)
  np.testing.assert_array_equal(found, [[1, 3, 4, 5, 6], [2, 3, 4, 5, 6]])
  assert found.dtype == np.float32
  channels = steps.ConcatenateParams(keys=("a", "b"), axis="channels")
  one, three = xp.zeros((2, 4, 4, 1)), xp.ones((2, 4, 4, 3))
  found = apply("concatenate", channels, one, three, xp=xp)
  assert found.shape == (2, 4, 4, 4)
  np.testing.assert_array_equal(found[0, 0, 0], [0, 1, 1, 1])
  with pytest.raises(errors.UserError, match="agree in all but the last axis"):
    apply("concatenate", channels, one, xp.ones((2, 5, 4, 3)), xp=xp)
  with pytest.raises(errors.UserError, match="agree in all but the last axis"):
    apply("concatenate", channels, one, xp.ones((2, 4, 4, 3), "int32"), xp=xp)


def test_bounds_must_fit_and_be_known():
  with pytest.raises(errors.UserError, match="2 bounds for an action of shape"):
    apply("from_bounds", bounds((0.0, 0.0), (1.0, 1.0)), row(1, 2, 3))
  with pytest.raises(errors.UserError, match="do not tell the bounds"):
    apply("from_bounds", bounds(None, None), row(1))
  for low, high in (
    ((0.0,), None),
    ((0.0,), (1.0, 1.0)),
    ((None,), (1.0,)),
    ((2.0,), (1.0,)),
  ):
    with pytest.raises(pydantic.ValidationError):
      bounds(low, high)


def _picture(height, width, channels=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, channels), np.uint8)


_PILLOW = {
  "bilinear": Image.Resampling.BILINEAR,
  "bicubic": Image.Resampling.BICUBIC,
  "lanczos": Image.Resampling.LANCZOS,
  "area": Image.Resampling.BOX,
  "nearest": Image.Resampling.NEAREST,
}


@pytest.mark.parametrize("method", _PILLOW)
@pytest.mark.parametrize("size", [(96, 96), (21, 16), (300, 200), (210, 40)])
def test_resized_as_by_pillow(method, size):
  image = _picture(210, 160)
  params = contract.Resize(
    height=size[0],
    width=size[1],
    method=method,
    antialias=True,
    keep_aspect=False,
  )
  found = apply("resize", params, image[None])
  expected = np.array(
    Image.fromarray(image).resize(size[::-1], _PILLOW[method])
  )
  np.testing.assert_array_equal(found[0], expected)
  assert found.dtype == np.uint8


def test_pictures_in_jax_and_in_numpy():
  image = _picture(40, 30)[None]
  params = contract.Resize(
    height=16,
    width=16,
    method="bilinear",
    antialias=True,
    keep_aspect=True,
    pad_value=7.0,
  )
  found = apply("resize", params, image)
  # 40 x 30 becomes 16 x 12, two columns of border on either side
  assert (found[0, :, :2] == 7).all()
  assert (found[0, :, 14:] == 7).all()
  assert (found[0, :, 2:14] != 7).mean() > 0.9
  other = apply("resize", params, jnp.asarray(image), xp=jnp)
  assert np.abs(found.astype(int) - np.asarray(other)).max() <= 1
  with pytest.raises(errors.UserError, match="no pad_value"):
    apply("resize", params.model_copy(update={"pad_value": None}), image)


def test_without_antialias_only_neighbours_count():
  table = pictures.weights(8, 2, "bilinear", antialias=False)
  assert (table > 0).sum(1).tolist() == [2, 2]
  smooth = pictures.weights(8, 2, "bilinear", antialias=True)
  assert (smooth > 0).sum(1).min() > 4
  np.testing.assert_allclose(smooth.sum(1), 1, rtol=1e-6)


def test_gray_and_frames_as_the_games_do_it():
  weights = (0.299, 0.587, 1 - (0.299 + 0.587))
  image = _picture(12, 10)
  found = apply("gray", steps.GrayParams(weights=weights), image[None])
  expected = (image * np.array(weights)).sum(-1).astype(np.uint8)
  np.testing.assert_array_equal(found[0, ..., 0], expected)
  frames = np.stack([image, _picture(12, 10, seed=1)])
  for method, reduced in (
    ("max", frames.max(0)),
    ("mean", frames.mean(0).astype(np.uint8)),
  ):
    params = steps.AggregateParams(frames=2, method=method)
    found = apply("aggregate_frames", params, frames[None])
    np.testing.assert_array_equal(found[0], reduced)
    other = apply("aggregate_frames", params, jnp.asarray(frames[None]), xp=jnp)
    np.testing.assert_array_equal(other, found)
  with pytest.raises(errors.UserError, match="takes 2 frames, not 1"):
    apply("aggregate_frames", params, frames[None, :1])
  with pytest.raises(errors.UserError, match="takes uint8 pictures of 3 axes"):
    apply("gray", steps.GrayParams(weights=weights), image[None] / 255)


def test_chunks_are_cut_or_left_to_be_averaged():
  chunk = np.arange(12.0).reshape(1, 6, 2)
  params = steps.ExecuteParams(
    horizon=6, n_action_steps=2, temporal_ensemble_coefficient=None
  )
  found = apply("execute_chunk", params, chunk)
  np.testing.assert_array_equal(found, [[[0, 1], [2, 3]]])
  averaged = params.model_copy(update={"temporal_ensemble_coefficient": 0.1})
  np.testing.assert_array_equal(apply("execute_chunk", averaged, chunk), chunk)
  with pytest.raises(errors.UserError, match="chunks of 6 actions"):
    apply("execute_chunk", params, chunk[:, :5])


def test_actions_are_repeated_in_time():
  found = apply("repeat_action", steps.RepeatParams(times=3), row(1, 2))
  np.testing.assert_array_equal(found, [[[1, 2]] * 3])
