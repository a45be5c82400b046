"""Each transform against a plain reference, then the drawing of them."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from act import augmentation, image_transforms
from act import config as config_lib
from carnet import errors

GREY = np.array([0.2989, 0.587, 0.114])
OFF = {
  "brightness": (1.0, 1.0),
  "contrast": (1.0, 1.0),
  "saturation": (1.0, 1.0),
  "hue": (0.0, 0.0),
  "sharpness": (1.0, 1.0),
  "affine_degrees": 0.0,
  "affine_translate": 0.0,
  "crop": 1.0,
}


def make_config(max_transforms, **overrides):
  config = config_lib.default_config().augmentation
  with config.unlocked():
    config.update({"max_transforms": max_transforms} | overrides)
  return config


@pytest.fixture
def picture():
  rng = np.random.default_rng(0)
  image = rng.uniform(size=(7, 9, 3)).astype(np.float32)
  image[0, 0] = 0.25  # a grey pixel has no hue
  image[0, 1] = 0.0
  image[0, 2] = (0.5, 0.5, 0.1)  # two largest channels
  return image


@pytest.fixture
def batch(picture):
  return (np.stack([picture] * 16) * 255).astype(np.uint8)


def augment(images, key, config):
  jitted = jax.jit(lambda x, k: augmentation.augment(x, k, config))
  return np.asarray(jitted(images, key))


@jax.jit
def _resample(image, radians, shift, scale, offset):
  return image_transforms.resample(image, radians, shift, scale, offset)


def resample(image, degrees=0.0, shift=(0.0, 0.0), scale=1.0, offset=(0, 0)):
  return np.asarray(
    _resample(
      jnp.asarray(image),
      jnp.float32(np.deg2rad(degrees)),
      jnp.array(shift, jnp.float32),
      jnp.float32(scale),
      jnp.array(offset, jnp.float32),
    )
  )


# the transforms


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_brightness(picture, factor):
  out = image_transforms.brightness(jnp.asarray(picture), jnp.float32(factor))
  np.testing.assert_allclose(out, np.clip(picture * factor, 0, 1), rtol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_contrast(picture, factor):
  grey = sum(float(pixel @ GREY) for row in picture for pixel in row)
  expected = np.clip(factor * picture + (1 - factor) * grey / 63, 0, 1)
  out = image_transforms.contrast(jnp.asarray(picture), jnp.float32(factor))
  np.testing.assert_allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_saturation(picture, factor):
  grey = (picture @ GREY)[..., None]
  expected = np.clip(factor * picture + (1 - factor) * grey, 0, 1)
  out = image_transforms.saturation(jnp.asarray(picture), jnp.float32(factor))
  np.testing.assert_allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize("turns", [-0.4, -0.05, 0.0, 0.1, 0.5])
def test_hue_against_colorsys(picture, turns):
  expected = np.zeros_like(picture)
  for place in np.ndindex(picture.shape[:2]):
    h, s, v = colorsys.rgb_to_hsv(*picture[place].tolist())
    expected[place] = colorsys.hsv_to_rgb((h + turns) % 1.0, s, v)
  out = image_transforms.hue(jnp.asarray(picture), jnp.float32(turns))
  np.testing.assert_allclose(out, expected, atol=2e-6)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.0])
def test_sharpness_against_a_loop(picture, factor):
  kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
  blurred = picture.astype(np.float64)
  for i in range(1, 6):
    for j in range(1, 8):
      window = picture[i - 1 : i + 2, j - 1 : j + 2]
      blurred[i, j] = (window * kernel[..., None]).sum(axis=(0, 1))
  expected = np.clip(factor * picture + (1 - factor) * blurred, 0, 1)
  out = image_transforms.sharpness(jnp.asarray(picture), jnp.float32(factor))
  np.testing.assert_allclose(out, expected, atol=1e-6)


def test_resample_without_change_is_exact(picture):
  np.testing.assert_array_equal(resample(picture), picture)


def test_resample_shifts_down_and_right_and_fills_with_black(picture):
  expected = np.zeros_like(picture)
  expected[2:, 1:] = picture[:-2, :-1]
  np.testing.assert_allclose(
    resample(picture, shift=(2.0, 1.0)), expected, atol=1e-6
  )


def test_resample_quarter_turn_is_clockwise(picture):
  square = picture[:, :7]
  np.testing.assert_allclose(
    resample(square, degrees=90.0), np.rot90(square, -1), atol=1e-5
  )


@pytest.mark.parametrize("degrees", [-5.0, 3.0, 30.0])
def test_resample_against_pillow(degrees):
  rng = np.random.default_rng(1)
  image = rng.uniform(size=(21, 27, 3)).astype(np.float32)
  out = resample(image, degrees, shift=(1.5, -2.25), scale=0.8, offset=(1, -1))
  # Pillow counts from pixel corners: a, b, c give x of the source
  angle, height, width = np.deg2rad(degrees), 21, 27
  cosine, sine = np.cos(angle), np.sin(angle)
  turn = np.array([[cosine, sine], [-sine, cosine]])  # acts on (x, y)
  middle = np.array([width / 2, height / 2])
  matrix = 0.8 * turn
  moved = np.array([-1.0, 1.0]) - np.array([-2.25, 1.5])
  constant = turn @ moved + middle - matrix @ middle
  rows = np.concatenate([matrix, constant[:, None]], axis=1).ravel().tolist()
  for channel in range(3):
    expected = Image.fromarray(image[..., channel]).transform(
      (width, height),
      Image.Transform.AFFINE,
      rows,
      resample=Image.Resampling.BILINEAR,
    )
    # at the border Pillow repeats the last pixel for another half
    inside = np.s_[7:-7, 7:-7]
    np.testing.assert_allclose(
      out[..., channel][inside], np.asarray(expected)[inside], atol=1e-4
    )


def test_crop_of_half_shows_the_middle_twice_as_large():
  ramp = np.tile(np.arange(9, dtype=np.float32)[None, :, None] / 8, (9, 1, 3))
  out = resample(ramp, scale=0.5)
  # columns 2 to 6 in steps of a half
  np.testing.assert_allclose(
    out[4, :, 0], (2 + np.arange(9) * 0.5) / 8, atol=1e-6
  )


# drawing


def test_off_is_exactly_no_operation(batch):
  images = jnp.asarray(batch)
  key = jax.random.key(0)
  assert augmentation.augment(images, key, make_config(0)) is images
  assert augmentation.augment(images, key, make_config(3, **OFF)) is images
  traced = jax.jit(lambda x: augmentation.augment(x, key, make_config(0)))
  np.testing.assert_array_equal(traced(images), images)


def test_so_many_transforms_per_image_at_random():
  """Each transform leaves its own mark on red, so the marks are counted."""
  config = make_config(
    2,
    **OFF
    | {
      "brightness": (0.5, 0.5),
      "saturation": (0.0, 0.0),
      "affine_translate": 0.5,
    },
  )
  red = np.zeros((64, 8, 8, 3), np.float32)
  red[..., 0] = 0.8
  out = augment(jnp.asarray(red), jax.random.key(0), config)
  flat = out.reshape(64, -1, 3)
  brightest = flat.max(axis=(1, 2))
  grey = flat[..., 2].max(axis=1) > 0
  darker = brightest < np.where(grey, 0.8 * 0.2989, 0.8) * 0.6
  moved = flat[..., 0].min(axis=1) < brightest * 0.999
  counts = darker.astype(int) + grey + moved
  assert counts.tolist() == [2] * 64
  for chosen in (darker, grey, moved):  # two of three: 43 of 64, sd 3.8
    assert 30 < chosen.sum() < 56


def test_images_of_a_batch_differ_and_the_key_decides(batch):
  config = make_config(8, crop=0.8)
  images = jnp.asarray(batch)
  out = augment(images, jax.random.key(0), config)
  assert out.dtype == np.float32
  assert out.min() >= 0.0
  assert out.max() <= 1.0
  for i in range(1, 16):  # sixteen copies of one picture
    assert np.abs(out[i] - out[0]).max() > 0.01
  again = augment(images, jax.random.key(0), config)
  np.testing.assert_array_equal(out, again)
  other = augment(images, jax.random.key(1), config)
  assert np.abs(out - other).max() > 0.1


def test_one_transform_draws_within_its_range(batch):
  config = make_config(1, **OFF | {"brightness": (0.5, 0.75)})
  out = augment(jnp.asarray(batch), jax.random.key(0), config)
  unit = batch.astype(np.float32) / 255
  factors = out.sum(axis=(1, 2, 3)) / unit.sum(axis=(1, 2, 3))
  assert 0.5 <= factors.min() < 0.55
  assert 0.7 < factors.max() <= 0.75


def test_float_images_are_taken_as_they_are(batch):
  config = make_config(1, **OFF | {"brightness": (0.5, 0.5)})
  unit = jnp.asarray(batch.astype(np.float32) / 255)
  out = augment(unit, jax.random.key(0), config)
  np.testing.assert_allclose(out, unit * 0.5, rtol=1e-6)


def test_a_batch_augments_each_camera_on_its_own(batch):
  config = make_config(1, **OFF | {"brightness": (0.5, 1.0)})
  images = {"top": jnp.asarray(batch), "wrist": jnp.asarray(batch)}
  whole = {"images": images, "state": jnp.zeros((16, 2))}
  out = augmentation.batch(whole, jax.random.key(0), config)
  assert out["state"] is whole["state"]
  top, wrist = (np.asarray(out["images"][name]) for name in ("top", "wrist"))
  assert np.abs(top - wrist).max() > 0.01
  key = jax.random.key(0)
  off = augmentation.batch(whole, key, make_config(0))
  assert all(off["images"][name] is images[name] for name in images)
  state = {"state": whole["state"]}
  assert augmentation.batch(state, key, config) == state


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"hue": (0.1, -0.1)}, "hue="),
    ({"crop": 0.0}, "crop=0"),
    ({"affine_degrees": -1.0}, "at least 0"),
  ],
)
def test_impossible_ranges(batch, change, message):
  with pytest.raises(errors.UserError, match=message):
    augmentation.augment(
      jnp.asarray(batch), jax.random.key(0), make_config(1, **change)
    )
