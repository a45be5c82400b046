"""Each mode by hand arithmetic, its inverse, and the refusals."""

import jax.numpy as jnp
import numpy as np
import pytest

from act import config as config_lib
from act import normalize
from carnet import errors

# two dimensions; the second is constant
BLOCK = {
  "mean": [1.0, 5.0],
  "std": [2.0, 0.0],
  "min": [-1.0, 5.0],
  "max": [3.0, 5.0],
  "q01": [0.0, 5.0],
  "q99": [2.0, 5.0],
  "q10": [0.5, 5.0],
  "q90": [1.5, 5.0],
}
STATISTICS = {"action": BLOCK, "state": BLOCK}


def make_config(**overrides):
  config = config_lib.default_config().normalization
  with config.unlocked():
    config.update(overrides)
  return config


@pytest.mark.parametrize(
  ("mode", "expected"),
  [
    ("mean_std", 2.0),  # (5 - 1) / 2
    ("min_max", 2.0),  # 2 (5 + 1) / 4 - 1
    ("quantiles", 4.0),  # 2 (5 - 0) / 2 - 1
    ("quantile10", 8.0),  # 2 (5 - 0.5) / 1 - 1
    ("identity", 5.0),
  ],
)
def test_forward_by_hand_and_inverse(mode, expected):
  config = make_config(state=mode, action=mode)
  x = jnp.array([[5.0, 5.0]])
  out = normalize.batch({"state": x, "actions": x}, STATISTICS, config)
  np.testing.assert_allclose(out["state"][0, 0], expected, rtol=1e-6)
  np.testing.assert_array_equal(out["state"], out["actions"])
  back = normalize.actions_inverse(out["actions"], STATISTICS, config)
  np.testing.assert_allclose(back, x, rtol=1e-6)


@pytest.mark.parametrize(
  ("mode", "expected"),
  [("mean_std", 0.0), ("min_max", -1.0), ("quantiles", -1.0)],
)
def test_constant_feature_stays_finite(mode, expected):
  config = make_config(state=mode)
  out = normalize.batch({"state": jnp.array([[1.0, 5.0]])}, STATISTICS, config)
  assert float(out["state"][0, 1]) == expected


def test_standard_deviation_has_a_floor():
  x = {"state": jnp.array([[1.0, 5.001]])}
  floored = normalize.batch(x, STATISTICS, make_config(minimum_std=0.01))
  # (5.001 - 5) / 0.01; float32 keeps four digits of 0.001 here
  np.testing.assert_allclose(floored["state"][0, 1], 0.1, rtol=1e-3)
  free = normalize.batch(
    x, STATISTICS, make_config(minimum_std=0.0, epsilon=1e-4)
  )
  np.testing.assert_allclose(free["state"][0, 1], 10.0, rtol=1e-3)


def test_zero_range_is_replaced_by_epsilon():
  config = make_config(state="min_max", epsilon=0.5)
  out = normalize.batch({"state": jnp.array([[1.0, 6.0]])}, STATISTICS, config)
  assert float(out["state"][0, 1]) == 3.0  # 2 (6 - 5) / 0.5 - 1


def test_imagenet_images_by_hand():
  image = jnp.full((1, 2, 2, 3), 51, jnp.uint8)  # 0.2
  out = normalize.batch(
    {"images": {"top": image}}, {}, make_config(images="imagenet")
  )
  expected = [
    (0.2 - 0.485) / 0.229,
    (0.2 - 0.456) / 0.224,
    (0.2 - 0.406) / 0.225,
  ]
  np.testing.assert_allclose(out["images"]["top"][0, 1, 0], expected, rtol=1e-5)


def test_image_modes_use_statistics_per_channel_and_camera():
  block = {"mean": [0.0, 0.1, 0.2], "std": [0.5, 0.5, 0.25]}
  image = jnp.full((1, 1, 1, 3), 255, jnp.uint8)
  out = normalize.batch(
    {"images": {"top": image}},
    {"images/top": block},
    make_config(images="mean_std"),
  )
  np.testing.assert_allclose(
    out["images"]["top"][0, 0, 0], [2.0, 1.8, 3.2], rtol=1e-5
  )


def test_float_images_are_not_divided_again():
  images = {"top": jnp.full((1, 1, 1, 3), 0.5)}
  out = normalize.batch({"images": images}, {}, make_config(images="identity"))
  assert float(out["images"]["top"][0, 0, 0, 0]) == 0.5


def test_other_entries_stay():
  padding = jnp.array([[True, False]])
  out = normalize.batch({"is_pad": padding}, {}, make_config())
  assert out["is_pad"] is padding


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_statistics_must_be_finite(broken):
  block = {"mean": [1.0, broken], "std": [1.0, 1.0]}
  with pytest.raises(errors.UserError, match=r"'state' hold a 'mean'"):
    normalize.batch(
      {"state": jnp.zeros((1, 2))}, {"state": block}, make_config()
    )


def test_missing_statistics_never_pass_through():
  with pytest.raises(errors.UserError, match=r"no statistics of 'action'"):
    normalize.actions_inverse(jnp.zeros((1, 2)), {}, make_config())
  with pytest.raises(errors.UserError, match=r"'action' lack 'std'"):
    normalize.actions_inverse(
      jnp.zeros((1, 2)), {"action": {"mean": [0.0, 0.0]}}, make_config()
    )


def test_unknown_mode_names_the_nearest():
  with pytest.raises(errors.UserError, match=r"did you mean 'mean_std'"):
    normalize.batch(
      {"state": jnp.zeros((1, 2))}, STATISTICS, make_config(state="mean_sd")
    )
  with pytest.raises(errors.UserError, match=r"'imagenet'"):
    normalize.batch(
      {"state": jnp.zeros((1, 2))}, STATISTICS, make_config(state="imagenet")
    )
